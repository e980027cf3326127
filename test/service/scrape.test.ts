import { pino } from 'pino'
import { expect, test } from 'vitest'
import { createMetrics } from '../../src/http/metrics.js'
import { createScrape } from '../../src/service/scrape.js'
import { createTestDatabase } from '../support/test-database.js'

const RATE_LIMIT = { requests: 300, windowSeconds: 900, reserve: 0.5 }

/** Scrapes the accounts; returns the value of a gauge of one of them. */
function scraping(db: Parameters<typeof createScrape>[0]['db'], accounts: readonly string[]) {
  const metrics = createMetrics({ version: '1.2.3', accounts })
  const log = pino({ level: 'silent' })
  const scrape = createScrape({ db, log, metrics, accounts: () => accounts, rateLimit: RATE_LIMIT })
  return async () => {
    const text = await scrape.read({ hasAccounts: true })
    return (name: string, account = 'default', more = '') => {
      const value = new RegExp(`^spidra_sync_${name}\\{account="${account}"${more}\\} (\\S+)$`, 'm').exec(text)?.[1]
      return value === undefined ? undefined : Number(value)
    }
  }
}

test('shows stuck jobs, rejections, firing alerts and requests left of a single account', async () => {
  await using database = await createTestDatabase()
  const scrape = scraping(database.db, ['default'])
  await database.sql(`
    INSERT INTO spidra.sync_state (account, is_whole, last_complete_at, rate_limit, rate_remaining, rate_reset_at)
    VALUES ('default', true, now(), 300, 20, now() + interval '1 minute'),
      ('other', true, now(), 300, 20, now() + interval '1 minute');
    INSERT INTO spidra.batch_jobs (uuid, account, status, total_urls, completed_count, failed_count, created_at)
    SELECT gen_random_uuid(), 'default', 'running', 1, 0, 0, now() - interval '1 day' FROM generate_series(1, 2);
    INSERT INTO spidra.rejected_jobs (account, fingerprint, payload, reason, run_id) VALUES ('default', 'a', '{}', 'no uuid', 1);
    INSERT INTO spidra.alerts (account, kind, state, since, summary, details) VALUES
      ('default', 'stuck_jobs', 'firing', now(), 'stuck', '{}'), ('default', 'stale', 'resolved', now(), 'fresh', '{}')`)

  const gauge = await scrape()

  expect(gauge('stuck_jobs')).toBe(2)
  expect(gauge('open_rejections')).toBe(1)
  expect(gauge('firing_alerts', 'default', ',kind="stuck_jobs"')).toBe(1)
  expect(gauge('firing_alerts', 'default', ',kind="stale"')).toBe(0)
  expect([gauge('request_limit'), gauge('requests_left')]).toEqual([300, 20])
  expect(gauge('first_load_stored_jobs')).toBeUndefined()
  expect(gauge('stuck_jobs', 'other')).toBeUndefined()
})

test('a window that is over leaves all of its requests again', async () => {
  await using database = await createTestDatabase()
  await database.sql(`
    INSERT INTO spidra.sync_state (account, rate_limit, rate_remaining, rate_reset_at)
    VALUES ('default', 300, 20, now() - interval '1 second')`)

  expect((await scraping(database.db, ['default'])())('requests_left')).toBe(300)
})

test('shows each first load until it ends; with more than twenty in turn', async () => {
  await using database = await createTestDatabase()
  const accounts = Array.from({ length: 25 }, (_, index) => `account-${index}`)
  await database.sql(`
    INSERT INTO spidra.sync_state (account, full_started_at, pass_total)
    SELECT 'account-' || n, now(), 100 + n FROM generate_series(0, 24) AS n`)
  const scrape = scraping(database.db, accounts)
  const shown = async () => {
    const gauge = await scrape()
    return accounts.map((account) => gauge('first_load_listed_jobs', account)).filter((value) => value !== undefined)
  }

  expect(await shown()).toHaveLength(20)
  expect(await shown()).toEqual(accounts.map((_, index) => 100 + index))
  await database.sql(`UPDATE spidra.sync_state SET is_whole = true WHERE account <> 'account-3'`)
  expect(await shown()).toEqual([103])
})
