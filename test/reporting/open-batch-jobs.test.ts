import { expect, test } from 'vitest'
import type { JobRow } from '../../src/db/batch-jobs.js'
import { mergeJobs } from '../../src/db/batch-jobs.js'
import { openSyncState, saveStuckAfter } from '../../src/db/sync-state.js'
import { openTransaction } from '../support/blocking.js'
import { jobRow, openRun, uuidOf } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database

/** Hours before now. */
interface Past {
  readonly created: number
  readonly firstSeen: number
  readonly updated: number
}

/** Stores one running job, seen and changed at the given times; the last complete run was an hour ago. */
async function store(change: Partial<JobRow>, { created, firstSeen, updated }: Past, lastComplete: number | null = 1) {
  await openSyncState(db, 'default')
  await mergeJobs(db, await openRun(db), [jobRow({ ...change, uuid: uuidOf(1) })])
  await using client = await openTransaction(database)
  const ago = (hours: number | null) => `now() - interval '1 hour' * ${hours}`
  await client.query(`UPDATE spidra.batch_jobs SET created_at = ${ago(created)}, first_seen_at = ${ago(firstSeen)},
    updated_at = ${ago(updated)}`)
  await client.query(`UPDATE spidra.sync_state SET last_complete_at = ${ago(lastComplete)}`)
  const { rows } =
    await client.query(`SELECT o.*, extract(epoch FROM now() - last_progress_at)::float8 / 3600 AS hours_ago,
    o.uuid IN (SELECT s.uuid FROM spidra_reporting.stuck_batch_jobs s) AS is_stuck
    FROM spidra_reporting.open_batch_jobs o`)
  await client.commit()
  return rows
}

test('a job moved last when it changed last', async () => {
  const seen = { created: 30, firstSeen: 20, updated: 3 }
  expect(await store({}, seen)).toMatchObject([{ hours_ago: 3, seconds_without_progress: 2 * 3600, is_stuck: false }])
})

test('a job that never changed, with no URL finished, has stood still since it was created', async () => {
  const seen = { created: 30, firstSeen: 20, updated: 20 }
  const nothing = { completedCount: 0, failedCount: 0 }
  expect(await store(nothing, seen)).toMatchObject([
    { hours_ago: 30, seconds_without_progress: 29 * 3600, is_stuck: true },
  ])
})

test('a job that never changed, with URLs finished, has stood still since it was first seen', async () => {
  const seen = { created: 30, firstSeen: 6.5, updated: 6.5 }
  expect(await store({}, seen)).toMatchObject([
    { hours_ago: 6.5, seconds_without_progress: 5.5 * 3600, is_stuck: false },
  ])
})

test.each([
  [6 * 3600, false],
  [6 * 3600 + 1, true],
])('stuck is longer than 6 hours without progress: %d seconds, %s', async (seconds, isStuck) => {
  const updated = seconds / 3600
  expect(await store({}, { created: 30, firstSeen: 20, updated }, 0)).toMatchObject([
    { stuck_after_hours: 6, seconds_without_progress: seconds, is_stuck: isStuck },
  ])
})

test('nothing is stuck because nobody looked', async () => {
  const seen = { created: 200, firstSeen: 200, updated: 100 }
  expect(await store({}, seen, 98)).toMatchObject([{ seconds_without_progress: 2 * 3600, is_stuck: false }])
  expect(await store({}, seen, 150)).toMatchObject([{ seconds_without_progress: 0, is_stuck: false }])
})

test('where no run was complete yet, it is as of now', async () => {
  const seen = { created: 30, firstSeen: 20, updated: 10 }
  expect(await store({}, seen, null)).toMatchObject([{ seconds_without_progress: 10 * 3600, is_stuck: true }])
})

test('STUCK_AFTER_HOURS is that of each account, and 6 for one without a state', async () => {
  const seen = { created: 30, firstSeen: 20, updated: 10 }
  await openSyncState(db, 'default')
  await saveStuckAfter(db, 'default', 9.5)
  expect(await store({}, seen, 0)).toMatchObject([{ stuck_after_hours: 9.5, is_stuck: true }])
  await saveStuckAfter(db, 'default', 10)
  expect(await store({}, seen, 0)).toMatchObject([{ stuck_after_hours: 10, is_stuck: false }])
  await sql('DELETE FROM spidra.sync_state')
  expect(await sql('SELECT stuck_after_hours FROM spidra_reporting.stuck_batch_jobs')).toEqual([
    { stuck_after_hours: 6 },
  ])
})

test.each([
  [[10, 3, 2], { progress: 0.5, pending_count: 5 }],
  [[10, 8, 4], { progress: 1, pending_count: 0 }],
  [[0, 0, 0], { progress: null, pending_count: 0 }],
  [[0, 1, 0], { progress: null, pending_count: 0 }],
  [[2_147_483_647, 2_147_483_647, 2_147_483_647], { progress: 1, pending_count: 0 }],
] as const)(
  'progress of (total, completed, failed) = %j',
  async ([totalUrls, completedCount, failedCount], expected) => {
    await mergeJobs(db, await openRun(db), [jobRow({ totalUrls, completedCount, failedCount })])

    expect(await sql('SELECT * FROM spidra_reporting.open_batch_jobs')).toMatchObject([expected])
  },
)

test('holds neither ended nor removed jobs', async () => {
  const statuses = ['pending', 'running', 'resting', 'completed', 'failed', 'cancelled', 'running']
  await mergeJobs(
    db,
    await openRun(db),
    statuses.map((status, i) => jobRow({ uuid: uuidOf(i), status })),
  )
  await sql('UPDATE spidra.batch_jobs SET removed_at = now() WHERE uuid = $1', [uuidOf(6)])

  expect(await sql('SELECT status FROM spidra_reporting.open_batch_jobs ORDER BY uuid')).toEqual([
    { status: 'pending' },
    { status: 'running' },
    { status: 'resting' },
  ])
})
