import { expect, test } from 'vitest'
import { readDatabaseTime } from '../../src/db/client.js'
import { type ResultsProgress, readResultsProgress, toResultsText } from '../../src/report/results.js'
import { readStatus } from '../../src/report/status.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

const RATE_LIMIT = { requests: 300, windowSeconds: 900, reserve: 0.5 }

/** Inserts an account whose last run began 100 seconds ago and whose next one begins in 200, with 100 ended jobs of which 50 are due. */
async function insertAccount({ sql }: TestDatabase, account: string, worker = 'here:1'): Promise<void> {
  await sql(`
    INSERT INTO spidra.sync_state (account, results_mode, results_per_run, results_interval_ms, results_noted_to, results_complete_at, last_complete_at, next_run_at)
    VALUES ('${account}', 'items', 50, 300000, '-infinity', '2026-03-01T12:00:00Z', '2026-03-01T13:00:00Z', now() + interval '200 seconds');
    INSERT INTO spidra.sync_runs (account, mode, trigger, status, worker, started_at, finished_at, requests, waited_ms)
    VALUES ('${account}', 'incremental', 'schedule', 'complete', '${worker}', now() - interval '100 seconds', now() - interval '89 seconds', 10, 10000);
    INSERT INTO spidra.batch_jobs (uuid, account, status, total_urls, completed_count, failed_count, created_at)
    SELECT gen_random_uuid(), '${account}', CASE n WHEN 101 THEN 'running' ELSE 'completed' END, 1, 1, 0, now() - n * interval '1 hour'
    FROM generate_series(1, 101) n;
    INSERT INTO spidra.results_due (uuid, account, created_at)
    SELECT uuid, account, created_at FROM spidra.batch_jobs
    WHERE account = '${account}' AND status = 'completed' ORDER BY created_at LIMIT 50`)
}

async function read({ db }: TestDatabase, account = 'default') {
  const now = await readDatabaseTime(db)
  const results = await readResultsProgress(db, { account, now, rateLimit: RATE_LIMIT })
  // To ten seconds: the rows are some hundred milliseconds old.
  return { ...results, doneInSeconds: 10 * Math.round((Date.parse(results?.doneAt ?? '') - now.getTime()) / 10_000) }
}

test('counts the ended and the due batches, and estimates the end as plan does', async () => {
  await using database = await createTestDatabase()
  await insertAccount(database, 'default')

  // 25 of 75 requests for each of three runs in a window, less the four of a list of three pages.
  expect(await read(database)).toMatchObject({
    ...{ mode: 'items', endedJobs: 100, dueJobs: 50, completeAsOf: '2026-03-01T12:00:00.000Z' },
    doneInSeconds: 200 + 2 * 300,
  })
  await database.sql('DELETE FROM spidra.results_due')
  expect(await read(database)).toMatchObject({
    ...{ endedJobs: 100, dueJobs: 0, completeAsOf: '2026-03-01T13:00:00.000Z', doneAt: null },
  })
})

test('accounts of one machine share its budget', async () => {
  await using database = await createTestDatabase()
  await insertAccount(database, 'default')
  await insertAccount(database, 'elsewhere', 'there:1')
  expect(await read(database)).toMatchObject({ doneInSeconds: 800 })
  await insertAccount(database, 'second')

  // Each gets half of the 25 less the eight for both lists.
  expect(await read(database)).toMatchObject({ doneInSeconds: 200 + 5 * 300 })
})

test('while a run is under way, the estimate begins with it', async () => {
  await using database = await createTestDatabase()
  await insertAccount(database, 'default')
  await database.sql(`
    UPDATE spidra.sync_state SET next_run_at = now();
    INSERT INTO spidra.sync_runs (account, mode, trigger, status, worker, started_at, heartbeat_at)
    VALUES ('default', 'incremental', 'schedule', 'running', 'here:1', now() + interval '200 seconds', now() + interval '200 seconds')`)

  expect(await read(database)).toMatchObject({ doneInSeconds: 2 * 300 })
})

test('the end is unknown where no next run is scheduled, or the budget leaves nothing', async () => {
  await using database = await createTestDatabase()
  await insertAccount(database, 'default')
  await database.sql('UPDATE spidra.sync_state SET rate_limit = 10')
  expect(await read(database)).toMatchObject({ dueJobs: 50, doneAt: null })
  for (const next of ['NULL', "now() - interval '10 minutes'"]) {
    await database.sql(`UPDATE spidra.sync_state SET rate_limit = NULL, next_run_at = ${next}`)
    expect(await read(database)).toMatchObject({ dueJobs: 50, doneAt: null })
  }
})

test('are absent from the status of an account whose results are off', async () => {
  await using database = await createTestDatabase()
  await insertAccount(database, 'on')
  await insertAccount(database, 'off')
  await database.sql(`UPDATE spidra.sync_state SET results_mode = NULL WHERE account = 'off'`)
  const status = async (account: string) =>
    readStatus(database.db, { account, now: await readDatabaseTime(database.db), rateLimit: RATE_LIMIT })

  expect(await status('off')).not.toHaveProperty('results')
  expect((await status('on')).results).toMatchObject({ mode: 'items', endedJobs: 100, dueJobs: 50 })
})

const PROGRESS: ResultsProgress = {
  ...{ asOf: '2026-03-01T12:00:00.000Z', mode: 'items', endedJobs: 5_000, dueJobs: 50, completeAsOf: null },
  doneAt: '2026-03-01T14:29:30.000Z',
}

test.each([
  ['4,950 of 5,000 ended batches read, 50 due, done about 14:30 UTC', {}],
  ['4,950 of 5,000 ended batches read, 50 due, done about 3 Mar 14:30 UTC', { doneAt: '2026-03-03T14:29:30.000Z' }],
  ['4,950 of 5,000 ended batches read, 50 due', { doneAt: null }],
  ['0 of 1 ended batch read, 1 due', { endedJobs: 1, dueJobs: 1, doneAt: null }],
  ['all of 5,000 ended batches read', { dueJobs: 0, doneAt: null }],
  ['no batch has ended yet', { endedJobs: 0, dueJobs: 0, doneAt: null }],
])('says: %s', (text, change) => {
  expect(toResultsText({ ...PROGRESS, ...change })).toBe(text)
})
