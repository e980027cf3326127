import { expect, test } from 'vitest'
import { mergeJobs } from '../../src/db/batch-jobs.js'
import { openDatabase } from '../../src/db/client.js'
import { refreshDailyTotals } from '../../src/db/housekeeping.js'
import { openTransaction, untilBlocked } from '../support/blocking.js'
import { compareDays } from '../support/daily-model.js'
import { jobRow, jobRows, openRun, uuidOf } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database

const DAY = '2026-03-01'
const INSERT = `INSERT INTO spidra.batch_jobs (uuid, status, total_urls, completed_count, failed_count, created_at)
  VALUES ($1, 'completed', 4, 4, 0, $2)`

const staleDays = () => sql('SELECT account, day::text FROM spidra.stale_days ORDER BY 1, 2')
const jobsOf = (day: string) =>
  sql('SELECT sum(jobs)::integer AS jobs FROM spidra_reporting.daily_batch_jobs WHERE day = $1', [day])

async function expectExact() {
  const { view, expected } = await compareDays(database)
  expect(view).toEqual(expected)
}

test('computes the days of one account, and leaves those of others stale', async () => {
  await mergeJobs(db, await openRun(db), jobRows(2))
  await mergeJobs(db, await openRun(db, 'other'), [jobRow({ uuid: uuidOf(3) })])

  expect(await refreshDailyTotals(db, 'default')).toBe(1)
  expect(await refreshDailyTotals(db, 'default')).toBe(0)
  expect(await refreshDailyTotals(db, 'nobody')).toBe(0)

  expect(await staleDays()).toEqual([{ account: 'other', day: DAY }])
  await expectExact()
})

test('a merge that changes nothing makes no day stale', async () => {
  await mergeJobs(db, await openRun(db), jobRows(3))
  await refreshDailyTotals(db, 'default')

  await mergeJobs(db, await openRun(db), jobRows(3))

  expect(await staleDays()).toEqual([])
})

test('a job that moves to another day and account makes both days stale', async () => {
  await mergeJobs(db, await openRun(db), jobRows(1))
  await refreshDailyTotals(db, 'default')

  await mergeJobs(db, await openRun(db, 'other'), [jobRow({ createdAt: '2026-03-02T00:00:00Z' })])

  expect(await staleDays()).toEqual([
    { account: 'default', day: DAY },
    { account: 'other', day: '2026-03-02' },
  ])
})

test('a TRUNCATE of the jobs deletes the sums', async () => {
  await mergeJobs(db, await openRun(db), jobRows(3))
  await refreshDailyTotals(db, 'default')

  await sql('TRUNCATE spidra.batch_jobs')

  await expectExact()
  expect(await sql('SELECT * FROM spidra.daily_totals')).toEqual([])
})

test('waits for an uncommitted merge on a stale day, and then counts its jobs', async () => {
  await mergeJobs(db, await openRun(db), jobRows(2))
  await using merge = await openTransaction(database)
  await merge.query(INSERT, [uuidOf(9), `${DAY}T05:00:00Z`])

  const kept = refreshDailyTotals(db, 'default')
  await untilBlocked(database, 1)
  expect(await jobsOf(DAY)).toEqual([{ jobs: 2 }])
  await merge.commit()

  expect(await kept).toBe(1)
  expect(await jobsOf(DAY)).toEqual([{ jobs: 3 }])
  expect(await staleDays()).toEqual([])
  await expectExact()
})

test('does not wait for an uncommitted merge on a computed day, which is stale after the merge', async () => {
  await mergeJobs(db, await openRun(db), [
    ...jobRows(2),
    jobRow({ uuid: uuidOf(3), createdAt: '2026-03-02T00:00:00Z' }),
  ])
  await refreshDailyTotals(db, 'default')
  await using merge = await openTransaction(database)
  await merge.query(INSERT, [uuidOf(9), `${DAY}T05:00:00Z`])
  await sql(`UPDATE spidra.batch_jobs SET total_urls = 5 WHERE uuid = $1`, [uuidOf(3)])

  expect(await refreshDailyTotals(db, 'default')).toBe(1)
  await merge.commit()

  expect(await staleDays()).toEqual([{ account: 'default', day: DAY }])
  expect(await jobsOf(DAY)).toEqual([{ jobs: 3 }])
  await expectExact()
})

test('a merge waits while the sums of its day are computed, and makes the day stale again', async () => {
  await mergeJobs(db, await openRun(db), jobRows(2))
  await using keeper = await openTransaction(database)
  await keeper.query(`SELECT spidra.keep_stale_days('default')`)

  const merged = mergeJobs(db, await openRun(db), [jobRow({ uuid: uuidOf(9) })])
  await untilBlocked(database, 1)
  await keeper.commit()
  await merged

  expect(await staleDays()).toEqual([{ account: 'default', day: DAY }])
  expect(await jobsOf(DAY)).toEqual([{ jobs: 3 }])
  await expectExact()
})

test('two that compute the same day at once compute it once', async () => {
  await mergeJobs(db, await openRun(db), jobRows(2))
  await using first = await openTransaction(database)
  await first.query(`SELECT spidra.keep_stale_days('default')`)

  const second = refreshDailyTotals(db, 'default')
  await untilBlocked(database, 1)
  await first.commit()

  expect(await second).toBe(0)
  await expectExact()
})

test('a merge that is rolled back leaves the day and its mark as they were', async () => {
  await mergeJobs(db, await openRun(db), jobRows(2))
  await refreshDailyTotals(db, 'default')
  {
    await using merge = await openTransaction(database)
    await merge.query(INSERT, [uuidOf(9), `${DAY}T05:00:00Z`])
  }

  expect(await staleDays()).toEqual([])
  await expectExact()
})

test('days are computed in portions, which are halved where a statement may not take that long', async () => {
  await mergeJobs(
    db,
    await openRun(db),
    jobRows(20, (number) => ({ createdAt: `2026-03-${String(number).padStart(2, '0')}T00:00:00Z` })),
  )
  expect(await refreshDailyTotals(db, 'default', 7)).toBe(20)

  await sql('UPDATE spidra.batch_jobs SET total_urls = total_urls + 1')
  // Each day takes 30 ms, so a statement may compute three of them.
  await sql(`CREATE FUNCTION spidra.wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.03); RETURN NEW; END';
    CREATE TRIGGER wait BEFORE INSERT ON spidra.daily_totals FOR EACH ROW EXECUTE FUNCTION spidra.wait()`)
  await using impatient = await openImpatient()

  expect(await refreshDailyTotals(impatient.db, 'default', 16)).toBe(20)
  expect(await sql('SELECT count(*)::integer AS days FROM spidra.stale_days')).toEqual([{ days: 0 }])
  await sql('DROP TRIGGER wait ON spidra.daily_totals')
})

/** A pool whose statements end after 100 ms. */
async function openImpatient() {
  const url = new URL(database.url)
  url.searchParams.set('options', '-c statement_timeout=100')
  const impatient = openDatabase(url.href)
  return { db: impatient, [Symbol.asyncDispose]: () => impatient.$disconnect() }
}
