import { expect, test, vi } from 'vitest'
import { beatRun, finishRun, startRun } from '../../src/db/sync-runs.js'
import { closeRun, openRun, RUN_END } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database

test('opens a record with account, mode, trigger and worker, and a fresh heartbeat', async () => {
  const run = await startRun(db, { account: 'ada', mode: 'incremental', trigger: 'schedule', worker: 'host:42' })

  expect(run).toEqual({ id: expect.any(BigInt), account: 'ada' })
  expect(
    await sql(`
      SELECT id, account, mode, trigger, worker, status, finished_at, heartbeat_at = started_at AS fresh
      FROM spidra.sync_runs`),
  ).toEqual([
    {
      id: `${run.id}`,
      account: 'ada',
      mode: 'incremental',
      trigger: 'schedule',
      worker: 'host:42',
      status: 'running',
      finished_at: null,
      fresh: true,
    },
  ])
})

test('closes the runs that a dead worker of the account left running, and no others', async () => {
  const complete = await openRun(db)
  await finishRun(db, complete, RUN_END)
  const dead = await openRun(db)
  const other = await openRun(db, 'other')
  const run = await openRun(db)

  expect(
    await sql(`
      SELECT id, account, status, error_code AS code, error_message AS message, finished_at >= started_at AS closed
      FROM spidra.sync_runs ORDER BY id`),
  ).toEqual([
    { id: `${complete.id}`, account: 'default', status: 'complete', code: null, message: null, closed: true },
    {
      id: `${dead.id}`,
      account: 'default',
      status: 'aborted',
      code: 'worker_lost',
      message: 'The worker ended without closing the run',
      closed: true,
    },
    { id: `${other.id}`, account: 'other', status: 'running', code: null, message: null, closed: null },
    { id: `${run.id}`, account: 'default', status: 'running', code: null, message: null, closed: null },
  ])
})

test('stores what the run did, column for column', async () => {
  const run = await openRun(db)

  const end = { ...RUN_END, status: 'failed', statusReason: 'a', errorCode: 'b', errorMessage: 'c' } as const
  expect(await finishRun(db, run, end)).toBe(true)

  expect(
    await sql(`
      SELECT status, requests, retries, pages_read AS "pagesRead", seams_repaired AS "seamsRepaired",
        jobs_read AS "jobsRead", inserted, updated, unchanged, removed, restored, rejected, waited_ms AS "waitedMs",
        listed_total AS "listedTotal", stored_total AS "storedTotal", status_reason AS "statusReason",
        error_code AS "errorCode", error_message AS "errorMessage"
      FROM spidra.sync_runs`),
  ).toEqual([end])
})

test('rounds waits to milliseconds, and ignores other properties', async () => {
  const run = await openRun(db)

  expect(await finishRun(db, run, { ...RUN_END, waitedMs: 1234.5678, ...{ reason: 'x' } })).toBe(true)

  expect(await sql('SELECT waited_ms FROM spidra.sync_runs')).toEqual([{ waited_ms: 1235 }])
})

test('limits the waits to what the column can hold', async () => {
  const run = await openRun(db)

  expect(await beatRun(db, run, { ...RUN_END, waitedMs: 3e9 })).toBe(true)
  expect(await finishRun(db, run, { ...RUN_END, waitedMs: 3e9 })).toBe(true)

  expect(await sql('SELECT waited_ms FROM spidra.sync_runs')).toEqual([{ waited_ms: 2_147_483_647 }])
})

test('all times are of the clock of the database, also where the clock of the worker is wrong', async () => {
  const run = await openRun(db)
  vi.useFakeTimers({ toFake: ['Date'], now: new Date('2001-01-01') })
  try {
    await finishRun(db, run, RUN_END)
  } finally {
    vi.useRealTimers()
  }

  expect(
    await sql('SELECT finished_at > started_at AS later, heartbeat_at = finished_at AS same FROM spidra.sync_runs'),
  ).toEqual([{ later: true, same: true }])
})

test('a heartbeat sets heartbeat_at and the counters, and nothing else', async () => {
  const run = await openRun(db)
  await sql(`UPDATE spidra.sync_runs SET heartbeat_at = '2020-01-01Z'`)

  const { status: _, ...soFar } = RUN_END
  expect(await beatRun(db, run, { ...soFar, waitedMs: 12.4 })).toBe(true)

  expect(
    await sql(`
      SELECT status, finished_at, listed_total, stored_total, heartbeat_at > now() - interval '1 min' AS fresh,
        requests, retries, pages_read AS "pagesRead", seams_repaired AS "seamsRepaired", jobs_read AS "jobsRead",
        inserted, updated, unchanged, removed, restored, rejected, waited_ms AS "waitedMs"
      FROM spidra.sync_runs`),
  ).toEqual([
    {
      ...{ status: 'running', finished_at: null, listed_total: null, stored_total: null, fresh: true },
      ...{ requests: 1, retries: 2, pagesRead: 3, seamsRepaired: 4, jobsRead: 5, inserted: 6, updated: 7 },
      ...{ unchanged: 8, removed: 9, restored: 10, rejected: 11, waitedMs: 12 },
    },
  ])
})

test('a closed run accepts neither a heartbeat nor an end', async () => {
  const run = await openRun(db)
  await closeRun(database, run)
  const before = await sql('SELECT * FROM spidra.sync_runs')

  expect(await beatRun(db, run, RUN_END)).toBe(false)
  expect(await finishRun(db, run, RUN_END)).toBe(false)

  expect(await sql('SELECT * FROM spidra.sync_runs')).toEqual(before)
})

test('a finished run cannot be finished again', async () => {
  const run = await openRun(db)
  await finishRun(db, run, RUN_END)

  expect(await finishRun(db, run, { ...RUN_END, status: 'failed' })).toBe(false)
  expect(await sql('SELECT status FROM spidra.sync_runs')).toEqual([{ status: 'complete' }])
})
