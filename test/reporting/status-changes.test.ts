import { expect, test } from 'vitest'
import { markRemoved, mergeJobs } from '../../src/db/batch-jobs.js'
import { jobRow, openRun, uuidOf } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database

const BEGIN = '2020-03-01T12:00:00Z'

/** Merges the job with one status after another, each a minute after the one before, the first seen at `BEGIN`. */
async function live(statuses: readonly string[], createdAt = '2020-03-01T11:59:30Z') {
  const run = await openRun(db)
  for (const [minute, status] of statuses.entries()) {
    if (status === 'removed') await markRemoved(db, run, [uuidOf(1)])
    else await mergeJobs(db, run, [jobRow({ status, createdAt, completedCount: minute })])
    await sql(
      `UPDATE spidra.batch_job_events SET observed_at = $1::timestamptz + interval '1 minute' * $2
      WHERE observed_at > '2021-01-01'`,
      [BEGIN, minute],
    )
  }
  await sql('UPDATE spidra.batch_jobs SET first_seen_at = $1', [BEGIN])
}

const changes = () =>
  sql(`SELECT from_status, to_status, seconds_in_from_status AS seconds, is_reopened,
    extract(epoch FROM changed_at - '${BEGIN}'::timestamptz)::integer / 60 AS minute
    FROM spidra_reporting.status_changes ORDER BY id`)

test('tells every change of status, since when the one before had been, and none for progress alone', async () => {
  await live(['pending', 'running', 'running', 'running', 'completed'])

  expect(await changes()).toEqual([
    { from_status: 'pending', to_status: 'running', seconds: 90, is_reopened: false, minute: 1 },
    { from_status: 'running', to_status: 'completed', seconds: 180, is_reopened: false, minute: 4 },
  ])
})

test('a job first seen in another status was in it at least since then', async () => {
  await live(['running', 'completed'])

  expect(await changes()).toEqual([
    { from_status: 'running', to_status: 'completed', seconds: 60, is_reopened: false, minute: 1 },
  ])
})

test('a job that had ended and runs again is reopened', async () => {
  await live(['running', 'failed', 'pending', 'running', 'completed'])

  expect(await changes()).toMatchObject([
    { to_status: 'failed', is_reopened: false },
    { from_status: 'failed', to_status: 'pending', seconds: 60, is_reopened: true },
    { from_status: 'pending', to_status: 'running', seconds: 60, is_reopened: false },
    { to_status: 'completed', is_reopened: false },
  ])
})

test('so is one that comes back from removal or another account, and runs; a removal is no change of status', async () => {
  await live(['completed', 'removed', 'running', 'cancelled'])
  await mergeJobs(db, await openRun(db, 'other'), [jobRow({ status: 'pending' })])

  expect(await changes()).toMatchObject([
    { from_status: 'completed', to_status: 'running', is_reopened: true },
    { from_status: 'running', to_status: 'cancelled', seconds: 60, is_reopened: false },
    { from_status: 'cancelled', to_status: 'pending', is_reopened: true },
  ])
})

test('a job created in what is our future has been pending for no time, not for less', async () => {
  await live(['pending', 'running'], '2020-03-01T13:00:00Z')

  expect(await changes()).toMatchObject([{ from_status: 'pending', seconds: 0 }])
})

test('outlives the job, with no time where nothing is known', async () => {
  await live(['pending', 'running', 'completed'])
  await sql('DELETE FROM spidra.batch_jobs')

  expect(await changes()).toMatchObject([{ seconds: null }, { seconds: 60 }])
})
