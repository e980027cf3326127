import { expect, test } from 'vitest'
import type { JobRow } from '../../src/db/batch-jobs.js'
import { markRemoved, mergeJobs } from '../../src/db/batch-jobs.js'
import { jobRow, jobRows, openRun, uuidOf } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database

const MOST = 2_147_483_647
const OPEN = { outcome: 'open', is_open: true, is_terminal: false, is_partial_failure: false }
const ended = (outcome: string) => ({
  outcome,
  is_open: false,
  is_terminal: true,
  is_partial_failure: outcome === 'partly_failed',
})

/** Status, total, completed, failed; and what follows from them. */
const KINDS: readonly (readonly [string, readonly [number, number, number], object])[] = [
  ['pending', [10, 0, 0], { ...OPEN, pending_count: 10, success_rate: null }],
  ['running', [10, 3, 1], { ...OPEN, pending_count: 6, success_rate: 0.75 }],
  ['resting', [10, 9, 1], { ...OPEN, pending_count: 0, success_rate: 0.9 }],
  ['completed', [10, 10, 0], { ...ended('succeeded'), pending_count: 0, success_rate: 1 }],
  ['completed', [10, 7, 3], { ...ended('partly_failed'), pending_count: 0, success_rate: 0.7 }],
  ['completed', [10, 0, 10], { ...ended('failed'), pending_count: 0, success_rate: 0 }],
  ['completed', [0, 0, 0], { ...ended('succeeded'), pending_count: 0, success_rate: null }],
  ['failed', [10, 4, 6], { ...ended('failed'), pending_count: 0, success_rate: 0.4 }],
  ['failed', [10, 0, 0], { ...ended('failed'), pending_count: 10, success_rate: null }],
  ['cancelled', [10, 2, 0], { ...ended('cancelled'), pending_count: 8, success_rate: 1 }],
  ['running', [10, 8, 4], { ...OPEN, pending_count: 0, success_rate: 8 / 12 }],
  ['completed', [MOST, MOST, MOST], { ...ended('partly_failed'), pending_count: 0, success_rate: 0.5 }],
]

test.each(KINDS)(
  '%s with (total, completed, failed) = %j',
  async (status, [totalUrls, completedCount, failedCount], derived) => {
    await mergeJobs(db, await openRun(db), [jobRow({ status, totalUrls, completedCount, failedCount })])

    expect(await sql('SELECT * FROM spidra_reporting.batch_jobs')).toMatchObject([{ status, ...derived }])
  },
)

test('tells times in UTC days, seconds with their fraction, and the age as of now', async () => {
  const times: Partial<JobRow>[] = [
    { createdAt: '2026-03-01T23:59:59.999999Z', finishedAt: '2026-03-02T00:01:01.25Z' },
    { createdAt: '2026-03-02T01:30:00+02:00', finishedAt: null },
  ]
  await mergeJobs(
    db,
    await openRun(db),
    jobRows(2, (n) => times[n - 1] ?? {}),
  )

  expect(
    await sql(`SELECT created_date::text, duration_seconds, account,
      age_seconds = extract(epoch FROM now() - created_at)::double precision AS age_is_as_of_now,
      first_seen_at <= now() AND updated_at <= now() AS is_seen FROM spidra_reporting.batch_jobs ORDER BY uuid`),
  ).toEqual([
    {
      created_date: '2026-03-01',
      duration_seconds: 61.250001,
      account: 'default',
      age_is_as_of_now: true,
      is_seen: true,
    },
    { created_date: '2026-03-01', duration_seconds: null, account: 'default', age_is_as_of_now: true, is_seen: true },
  ])
})

test('leaves out what is no longer listed, and shows it again when it returns', async () => {
  const run = await openRun(db)
  await mergeJobs(db, run, jobRows(2))
  const uuids = () => sql('SELECT uuid FROM spidra_reporting.batch_jobs ORDER BY uuid')

  await markRemoved(db, run, [uuidOf(1)])
  expect(await uuids()).toEqual([{ uuid: uuidOf(2) }])
  await mergeJobs(db, run, jobRows(2))
  expect(await uuids()).toEqual([{ uuid: uuidOf(1) }, { uuid: uuidOf(2) }])
})

test('every other view and the sums agree with the outcome of the job', async () => {
  const rows = KINDS.map(([status, [totalUrls, completedCount, failedCount]], i) =>
    jobRow({ uuid: uuidOf(i + 1), status, totalUrls, completedCount, failedCount }),
  )
  await mergeJobs(db, await openRun(db), rows)

  const [counted] = await sql(`
    SELECT (SELECT count(*) FROM spidra_reporting.batch_jobs WHERE is_open)::integer AS open,
      (SELECT count(*) FROM spidra_reporting.open_batch_jobs)::integer AS listed_open,
      (SELECT sum(open_jobs) FROM spidra_reporting.daily_batch_jobs)::integer AS summed_open,
      (SELECT sum(succeeded_jobs + partly_failed_jobs + failed_jobs + cancelled_jobs + open_jobs)
        FROM spidra_reporting.daily_batch_jobs)::integer AS summed`)
  expect(counted).toEqual({ open: 4, listed_open: 4, summed_open: 4, summed: KINDS.length })
})
