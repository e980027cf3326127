import { expect, test } from 'vitest'
import { mergeJobs } from '../../src/db/batch-jobs.js'
import { keepRejectedJobs } from '../../src/db/rejected-jobs.js'
import { finishRun } from '../../src/db/sync-runs.js'
import { openSyncState } from '../../src/db/sync-state.js'
import { openTransaction } from '../support/blocking.js'
import { jobRows, openRun, RUN_END } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database

const UNKNOWN = {
  complete_as_of: null,
  every_job_reread_since: null,
  lag_seconds: null,
  next_run_at: null,
  last_run_id: null,
  last_run_status: null,
  last_run_started_at: null,
  last_run_finished_at: null,
  listed_jobs: null,
  stored_jobs: null,
  open_rejections: '0',
  results_due: null,
  results_complete_as_of: null,
}

const freshness = () => sql('SELECT * FROM spidra_reporting.sync_freshness ORDER BY account')

test('freshness and history are empty in an empty database', async () => {
  expect(await freshness()).toEqual([])
  expect(await sql('SELECT * FROM spidra_reporting.sync_run_history')).toEqual([])
  expect(await sql('SELECT * FROM spidra_reporting.open_batch_jobs')).toEqual([])
  expect(await sql('SELECT * FROM spidra_reporting.stuck_batch_jobs')).toEqual([])
  expect(await sql('SELECT * FROM spidra_reporting.status_changes')).toEqual([])
})

test('an account without a run has a row of nulls: its lag is null, not 0', async () => {
  await openSyncState(db, 'default')

  expect(await freshness()).toEqual([{ account: 'default', ...UNKNOWN }])
})

test('has the last run, and the totals of the last run with a verdict', async () => {
  await openSyncState(db, 'default')
  await openSyncState(db, 'other')
  await finishRun(db, await openRun(db), { ...RUN_END, listedTotal: 90, storedTotal: 91 })
  const failed = await openRun(db)
  await finishRun(db, failed, { ...RUN_END, status: 'failed', listedTotal: null, storedTotal: null })
  await sql(`UPDATE spidra.sync_state SET last_complete_at = '2026-03-01T12:00:00Z', reread_since = '2026-02-28T03:00:00Z',
    next_run_at = '2026-03-01T12:05:00Z' WHERE account = 'default'`)
  const known = {
    account: 'default',
    complete_as_of: new Date('2026-03-01T12:00:00Z'),
    every_job_reread_since: new Date('2026-02-28T03:00:00Z'),
    next_run_at: new Date('2026-03-01T12:05:00Z'),
    listed_jobs: 90,
    stored_jobs: 91,
  }

  expect(await freshness()).toMatchObject([
    { ...known, last_run_id: String(failed.id), last_run_status: 'failed', last_run_finished_at: expect.any(Date) },
    { account: 'other', ...UNKNOWN },
  ])
  const running = await openRun(db)
  expect(await freshness()).toMatchObject([
    { ...known, last_run_id: String(running.id), last_run_status: 'running', last_run_finished_at: null },
    { account: 'other', ...UNKNOWN },
  ])
})

test('the lag is as of now, and never below zero', async () => {
  await openSyncState(db, 'default')
  await using client = await openTransaction(database)
  const lag = async (ago: string) => {
    await client.query(`UPDATE spidra.sync_state SET last_complete_at = now() - interval '${ago}'`)
    return (await client.query('SELECT lag_seconds FROM spidra_reporting.sync_freshness')).rows
  }

  expect(await lag('90.5 seconds')).toEqual([{ lag_seconds: 90.5 }])
  expect(await lag('-5 seconds')).toEqual([{ lag_seconds: 0 }])
})

test('counts the open rejections of each account, and every copy of one', async () => {
  await openSyncState(db, 'default')
  await openSyncState(db, 'other')
  const run = await openRun(db)
  const rejection = (n: number) => ({
    uuid: null,
    payload: `"${n}"`,
    reason: 'no job',
    fingerprint: String(n),
    copies: n,
  })
  await keepRejectedJobs(db, run, [rejection(1), rejection(2), rejection(3)])
  await sql(`UPDATE spidra.rejected_jobs SET resolved_at = now() WHERE payload = '"3"'`)

  expect(await freshness()).toMatchObject([
    { account: 'default', open_rejections: '3' },
    { account: 'other', open_rejections: '0' },
  ])
})

test('the history has every run with its counts, its reason in one word, and its seconds', async () => {
  const ends = [
    { ...RUN_END, waitedMs: 1_500 },
    { ...RUN_END, status: 'partial', statusReason: 'list_moving' },
    {
      ...RUN_END,
      status: 'failed',
      errorCode: 'unauthorized',
      errorMessage: 'Check SPIDRA_API_KEY.',
      listedTotal: null,
    },
  ] as const
  for (const end of ends) await finishRun(db, await openRun(db), end)
  await sql(`UPDATE spidra.sync_runs SET started_at = finished_at - interval '2.5 seconds'`)
  await openRun(db)

  const rows = await sql('SELECT * FROM spidra_reporting.sync_run_history ORDER BY id')
  expect(rows[0]).toEqual({
    ...{ id: '1', account: 'default', mode: 'full', trigger: 'manual', status: 'complete', reason: null },
    ...{ error_message: null, started_at: expect.any(Date), finished_at: expect.any(Date), duration_seconds: 2.5 },
    ...{ requests: 1, retries: 2, waited_seconds: 1.5, pages_read: 3, seams_repaired: 4, jobs_read: 5, inserted: 6 },
    ...{ updated: 7, unchanged: 8, removed: 9, restored: 10, rejected: 11, listed_total: 13, stored_total: 14 },
    ...{ worker: 'test:1', latest_total: null, waits_until: null },
  })
  expect(rows.slice(1)).toMatchObject([
    { status: 'partial', reason: 'list_moving' },
    { status: 'failed', reason: 'unauthorized', error_message: 'Check SPIDRA_API_KEY.', listed_total: null },
    { status: 'running', reason: null, finished_at: null },
  ])
  expect(rows[3]?.duration_seconds).toBeGreaterThanOrEqual(0)
})

test('jobs of an account that never ran give it no row in sync_freshness', async () => {
  await mergeJobs(db, await openRun(db), jobRows(1))

  expect(await freshness()).toEqual([])
})

test('rejected items, alerts and the budget are those of the tables, without the payload', async () => {
  const run = await openRun(db)
  await keepRejectedJobs(db, run, [{ uuid: null, payload: '"x"', reason: 'no job', fingerprint: 'x', copies: 2 }])
  await sql(`INSERT INTO spidra.alerts (account, kind, state, since, summary, details)
    VALUES ('default', 'stale', 'firing', '2026-03-01T12:00:00Z', 'No complete run since 11:00.', '{}')`)
  await openSyncState(db, 'default')
  await sql(`UPDATE spidra.sync_state SET rate_limit = 300, rate_remaining = 7, rate_reset_at = '2026-03-01T12:05:00Z'`)

  expect(await sql('SELECT * FROM spidra_reporting.rejected_items')).toEqual([
    {
      ...{
        id: '1',
        account: 'default',
        uuid: null,
        reason: 'no job',
        copies: 2,
        resolved_at: null,
        run_id: String(run.id),
      },
      ...{ first_rejected_at: expect.any(Date), last_rejected_at: expect.any(Date) },
    },
  ])
  expect(await sql('SELECT * FROM spidra_reporting.sync_alerts')).toEqual([
    {
      ...{ account: 'default', kind: 'stale', state: 'firing', since: new Date('2026-03-01T12:00:00Z') },
      ...{ summary: 'No complete run since 11:00.', reported_at: null },
    },
  ])
  expect(await sql('SELECT * FROM spidra_reporting.request_budget')).toEqual([
    { account: 'default', rate_limit: 300, rate_remaining: 7, rate_reset_at: new Date('2026-03-01T12:05:00Z') },
  ])
})

test('a removed job is in removed_batch_jobs, and in no other view, until it is listed again', async () => {
  await mergeJobs(db, await openRun(db), jobRows(2))
  await sql(`UPDATE spidra.batch_jobs SET removed_at = '2026-03-02T00:00:00Z' WHERE uuid = $1`, [jobRows(1)[0]?.uuid])
  const shown = () =>
    sql(`SELECT (SELECT count(*) FROM spidra_reporting.batch_jobs)::int AS listed,
      (SELECT json_agg(uuid) FROM spidra_reporting.removed_batch_jobs) AS removed`)

  expect(await shown()).toEqual([{ listed: 1, removed: [jobRows(1)[0]?.uuid] }])
  await sql('UPDATE spidra.batch_jobs SET removed_at = NULL')
  expect(await shown()).toEqual([{ listed: 2, removed: null }])
})
