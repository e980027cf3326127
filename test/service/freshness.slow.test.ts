import { EventEmitter, once } from 'node:events'
import { expect, test } from 'vitest'
import { openDatabase } from '../../src/db/client.js'
import { createMetrics } from '../../src/http/metrics.js'
import { createLogger } from '../../src/logging/logger.js'
import { createScrape } from '../../src/service/scrape.js'
import { hold } from '../support/blocking.js'
import { type CliProcess, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { syncInProcess } from '../support/cli-sync.js'
import { PATIENCE, runsOf, serviceEnv, simulateFor } from '../support/service.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

async function ask(service: CliProcess, path: string): Promise<{ status: number; body: string }> {
  const [, url] = await service.says(/"url":"(http:[^"]+)"/)
  const answer = await fetch(`${url}${path}`)
  return { status: answer.status, body: await answer.text() }
}

/** A gauge of the account, in seconds; null where it is absent. */
function gaugeIn(metrics: string, name: string): number | null {
  const value = new RegExp(`^${name}\\{account="default"\\} (\\S+)$`, 'm').exec(metrics)?.[1]
  return value === undefined ? null : Number(value)
}

const noteVerdict = ({ sql }: TestDatabase, age: string) =>
  sql(`UPDATE spidra.sync_state SET last_complete_at = now() - interval '${age}' WHERE account = 'default'`)

test('a verdict in the middle of a run shows at once, on every page and in every number', {
  timeout: 60_000,
}, async () => {
  await using database = await createCliDatabase()
  const released = new EventEmitter()
  const reached = new EventEmitter()
  let isHeld = false
  await using api = await simulateFor({
    beforeAnswer: async ({ page }) => {
      if (!isHeld || page !== 1) return
      reached.emit('page')
      await once(released, 'go')
    },
  })
  const env = {
    ...{ ...serviceEnv(api, database), HTTP_PORT: '0', SYNC_ON_START: 'false' },
    ...{ SYNC_SCHEDULE: '*/10 * * * *', FULL_SYNC_SCHEDULE: '* * * * * *' },
  }
  await syncInProcess(env, { full: true })
  await noteVerdict(database, '2 hours')
  isHeld = true
  const isReached = once(reached, 'page')
  await using service = await startCli(['start'], { env })
  await isReached

  const old = {
    readyz: await ask(service, '/readyz'),
    metrics: await ask(service, '/metrics'),
    status: await ask(service, '/api/status'),
    page: await ask(service, '/?refresh=off'),
    view: await database.sql(
      'SELECT lag_seconds > 7000 AS "isOld", last_run_status FROM spidra_reporting.sync_freshness',
    ),
  }
  await noteVerdict(database, '0 seconds')
  // A page is shared among its readers for a second.
  await expect
    .poll(async () => (await ask(service, '/?refresh=off')).body, PATIENCE)
    .toMatch(/Complete as of [^,]+, \d+\ss ago/)
  const fresh = {
    readyz: await ask(service, '/readyz'),
    metrics: await ask(service, '/metrics'),
    status: await ask(service, '/api/status'),
    view: await database.sql(
      'SELECT lag_seconds < 60 AS "isFresh", last_run_status FROM spidra_reporting.sync_freshness',
    ),
  }
  expect((await runsOf(database)).at(-1)).toMatchObject({ status: 'running' })
  const [{ at } = { at: 0 }] = await database.sql<{ at: number }>(
    'SELECT extract(epoch FROM last_complete_at)::double precision AS at FROM spidra.sync_state',
  )
  isHeld = false
  released.emit('go')

  const gauge = 'spidra_sync_last_complete_timestamp_seconds'
  expect(old.readyz.status).toBe(503)
  expect(gaugeIn(old.metrics.body, gauge)).toBeCloseTo(at - 7_200, -2)
  expect(gaugeIn(old.metrics.body, 'spidra_sync_listed_jobs')).toBe(120)
  expect(JSON.parse(old.status.body).accounts[0].lagSeconds).toBeGreaterThanOrEqual(7_200)
  expect(old.page.body).toMatch(/Complete as of [^,]+, 2\sh ago/)
  expect(old.view).toEqual([{ isOld: true, last_run_status: 'running' }])
  expect(fresh.readyz.status).toBe(200)
  expect(gaugeIn(fresh.metrics.body, gauge)).toBeCloseTo(at, 2)
  expect(JSON.parse(fresh.status.body).accounts[0].lagSeconds).toBeLessThan(60)
  expect(fresh.view).toEqual([{ isFresh: true, last_run_status: 'running' }])
})

test('a key that was refused from the start: /readyz is 503 once runs have failed for the limit', {
  timeout: 60_000,
}, async () => {
  await using database = await createCliDatabase()
  await using api = await simulateFor({ key: 'spd_another' })
  const env = { ...serviceEnv(api, database), HTTP_PORT: '0', SYNC_SCHEDULE: '*/10 * * * *' }
  await using service = await startCli(['start'], { env })
  await service.says(/"msg":"run failed"/)
  const early = await ask(service, '/readyz')
  // Ten minutes between two runs: the limit is half an hour.
  const failedFor = (minutes: number) =>
    database.sql(`UPDATE spidra.sync_runs SET (started_at, finished_at) =
      (now() - interval '${minutes + 1} minutes', now() - interval '${minutes} minutes')`)

  await failedFor(29)
  const before = await ask(service, '/readyz')
  await failedFor(31)
  const after = await ask(service, '/readyz')

  expect([early.status, before.status, after.status]).toEqual([200, 200, 503])
  expect(JSON.parse(after.body).checks).toMatchObject({
    database: { ok: true },
    schedules: { ok: true },
    freshness: { ok: false, detail: expect.stringMatching(/^no complete run yet, and runs have failed since 20/) },
  })
  expect(after.body).not.toMatch(/key|Spidra/i)
})

test('a database that hangs does not delay a scrape: the last values are shown, and one line is logged', {
  timeout: 30_000,
}, async () => {
  await using database = await createTestDatabase()
  await database.sql(`INSERT INTO spidra.sync_state (account, last_complete_at) VALUES ('default', to_timestamp(1000))`)
  const logged: string[] = []
  const log = await createLogger({
    ...{ level: 'info', format: 'json', secrets: [] },
    destination: { write: (line) => logged.push(line) },
  })
  const metrics = createMetrics({ version: '1.2.3', accounts: ['default'] })
  const db = openDatabase(database.url)
  const rateLimit = { requests: 300, windowSeconds: 900, reserve: 0.5 }
  const scrape = createScrape({ db, log, metrics, accounts: () => ['default'], rateLimit })
  const shown = async () =>
    gaugeIn(await scrape.read({ hasAccounts: true }), 'spidra_sync_last_complete_timestamp_seconds')
  expect(await shown()).toBe(1_000)

  const lock = await hold(database, 'LOCK TABLE spidra.sync_state IN ACCESS EXCLUSIVE MODE')
  const began = performance.now()
  expect([await shown(), await shown()]).toEqual([1_000, 1_000])
  expect(performance.now() - began).toBeLessThan(8_000)
  await lock.release()
  await database.sql('UPDATE spidra.sync_state SET last_complete_at = to_timestamp(2000)')

  await expect.poll(shown, PATIENCE).toBe(2_000)
  expect(logged.map((line) => JSON.parse(line).msg)).toEqual(['metrics could not be read from the database'])
  await db.$disconnect()
})
