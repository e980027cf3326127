import { expect, test, vi } from 'vitest'
import { finishRun } from '../../src/db/sync-runs.js'
import { closeRun, openRun, RUN_END } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database

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

test('a closed run accepts no end', async () => {
  const run = await openRun(db)
  await closeRun(database, run)
  const before = await sql('SELECT * FROM spidra.sync_runs')

  expect(await finishRun(db, run, RUN_END)).toBe(false)

  expect(await sql('SELECT * FROM spidra.sync_runs')).toEqual(before)
})

test('a finished run cannot be finished again', async () => {
  const run = await openRun(db)
  await finishRun(db, run, RUN_END)

  expect(await finishRun(db, run, { ...RUN_END, status: 'failed' })).toBe(false)
  expect(await sql('SELECT status FROM spidra.sync_runs')).toEqual([{ status: 'complete' }])
})
