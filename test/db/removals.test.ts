import { expect, test } from 'vitest'
import { markRemoved, mergeJobs } from '../../src/db/batch-jobs.js'
import { openDatabase } from '../../src/db/client.js'
import { listenForEvents, openTransaction, untilBlocked } from '../support/blocking.js'
import { closeRun, jobRows, openRun, uuidOf } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database

test('marks live jobs of the account, each once, with an event', async () => {
  await using listener = await listenForEvents(database)
  const other = await openRun(db, 'other')
  await mergeJobs(db, other, jobRows(4).slice(3))
  const run = await openRun(db)
  await mergeJobs(db, run, jobRows(3))
  await sql(`UPDATE spidra.batch_jobs SET first_seen_at = '2020-01-01Z', updated_at = '2020-01-01Z'`)

  expect(await markRemoved(db, run, [1, 3, 4, 100].map(uuidOf))).toBe(2)
  expect(await markRemoved(db, run, [1, 3, 4, 100].map(uuidOf))).toBe(0)
  expect(await markRemoved(db, run, [])).toBe(0)

  expect(
    await sql(`
      SELECT uuid, account, removed_at = updated_at AS removed, updated_at = '2020-01-01Z' AS untouched
      FROM spidra.batch_jobs WHERE first_seen_at = '2020-01-01Z' ORDER BY uuid`),
  ).toEqual([
    { uuid: uuidOf(1), account: 'default', removed: true, untouched: false },
    { uuid: uuidOf(2), account: 'default', removed: null, untouched: true },
    { uuid: uuidOf(3), account: 'default', removed: true, untouched: false },
    { uuid: uuidOf(4), account: 'other', removed: null, untouched: true },
  ])
  expect(
    await sql(`
      SELECT uuid, account, run_id, kind, from_status, to_status, from_completed_count, to_completed_count,
        from_failed_count, to_failed_count
      FROM spidra.batch_job_events ORDER BY id`),
  ).toEqual(
    [1, 3].map((n) => ({
      uuid: uuidOf(n),
      account: 'default',
      run_id: `${run.id}`,
      kind: 'removed',
      from_status: 'running',
      to_status: 'running',
      from_completed_count: 3,
      to_completed_count: 3,
      from_failed_count: 1,
      to_failed_count: 1,
    })),
  )
  expect(await listener.heard()).toEqual(['2'])
})

test('marks nothing once the run is closed', async () => {
  const run = await openRun(db)
  await mergeJobs(db, run, jobRows(2))
  await closeRun(database, run)

  expect(await markRemoved(db, run, [uuidOf(1)])).toBe(0)

  expect(await sql('SELECT FROM spidra.batch_jobs WHERE removed_at IS NOT NULL')).toEqual([])
  expect(await sql('SELECT FROM spidra.batch_job_events')).toEqual([])
})

test('waits for a closing under way, and then marks nothing', async () => {
  const run = await openRun(db)
  await mergeJobs(db, run, jobRows(2))
  await using other = await openTransaction(database)
  await other.query(`UPDATE spidra.sync_runs SET status = 'aborted'`)

  const marking = markRemoved(db, run, [uuidOf(1)])
  await untilBlocked(database, 1)
  await other.commit()

  expect(await marking).toBe(0)
})

test('leaves a job alone that moves to another account meanwhile', async () => {
  const run = await openRun(db)
  await mergeJobs(db, run, jobRows(2))
  await using other = await openTransaction(database)
  await other.query(`UPDATE spidra.batch_jobs SET account = 'other' WHERE uuid = $1`, [uuidOf(1)])

  const marking = markRemoved(db, run, [uuidOf(1), uuidOf(2)])
  await untilBlocked(database, 1)
  await other.commit()

  expect(await marking).toBe(1)
  expect(await sql('SELECT uuid, removed_at IS NOT NULL AS removed FROM spidra.batch_jobs ORDER BY uuid')).toEqual([
    { uuid: uuidOf(1), removed: false },
    { uuid: uuidOf(2), removed: true },
  ])
  expect(await sql('SELECT uuid FROM spidra.batch_job_events')).toEqual([{ uuid: uuidOf(2) }])
})

test('takes its locks in the order of the merge, so that the two do not block each other for good', async () => {
  await using rival = { db: openDatabase(database.url), [Symbol.asyncDispose]: () => rival.db.$disconnect() }
  const run = await openRun(db)
  const rows = jobRows(300)
  const uuids = rows.map((row) => row.uuid)
  await mergeJobs(db, run, rows)

  for (let round = 1; round <= 30; round += 1) {
    // The table lies in the other order than the merge takes its locks in.
    await sql(`
      WITH taken AS (DELETE FROM spidra.batch_jobs RETURNING *)
      INSERT INTO spidra.batch_jobs SELECT * FROM taken ORDER BY uuid DESC`)
    await sql('ANALYZE spidra.batch_jobs')
    const changed = rows.map((row) => ({ ...row, completedCount: round }))
    await Promise.all([markRemoved(db, run, uuids), mergeJobs(rival.db, run, changed)])
  }
})
