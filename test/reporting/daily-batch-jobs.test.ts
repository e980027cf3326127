import fc from 'fast-check'
import { expect, test } from 'vitest'
import { markRemoved, mergeJobs } from '../../src/db/batch-jobs.js'
import { refreshDailyTotals } from '../../src/db/housekeeping.js'
import { startSimulator } from '../../src/simulator/server.js'
import { openTransaction } from '../support/blocking.js'
import { compareDays } from '../support/daily-model.js'
import { jobRow, jobRows, openRun, uuidOf } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { loadTable } from '../support/sync-runner.js'

const database = await shareTestDatabase()
const { db, sql } = database

const ACCOUNTS = ['default', 'other'] as const
const UUIDS = 8
const NEW_DATABASE = `TRUNCATE spidra.batch_jobs, spidra.daily_totals, spidra.stale_days`

/** From three days ago to two days ahead, often at the edges of a day. */
const instant = fc
  .record({
    day: fc.integer({ min: -3, max: 2 }),
    micros: fc.oneof(fc.constantFrom(0, 86_399_999_999), fc.integer({ min: 0, max: 86_399_999_999 })),
  })
  .map(({ day, micros }) => {
    const midnight = Math.floor(Date.now() / 86_400_000 + day) * 86_400_000
    const ms = new Date(midnight + Math.floor(micros / 1000)).toISOString()
    return ms.replace('Z', `${String(micros % 1000).padStart(3, '0')}Z`)
  })
const word = fc.constantFrom(null, '', 'api')
const row = fc
  .record({
    uuid: fc.integer({ min: 1, max: UUIDS }).map(uuidOf),
    status: fc.constantFrom('pending', 'running', 'completed', 'completed', 'failed', 'cancelled', 'resting'),
    totalUrls: fc.integer({ min: 0, max: 50 }),
    completedCount: fc.integer({ min: 0, max: 3 }),
    failedCount: fc.integer({ min: 0, max: 3 }),
    outputFormat: word,
    scrapingChannel: word,
    createdAt: instant,
    finishedAt: fc.option(instant),
  })
  .map((change) => jobRow(change))
const account = fc.constantFrom(...ACCOUNTS)
const numbers = fc.uniqueArray(fc.integer({ min: 1, max: UUIDS }).map(uuidOf), { minLength: 1 })

/** Everything that writes jobs: the worker, and an admin. A merge of a stored uuid moves, restores and redates it. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('merge'), account, rows: fc.array(row, { maxLength: 6 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('keep'), account }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove'), account, uuids: numbers }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('redate'), uuids: numbers, to: instant }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('give'), uuids: numbers, account }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete'), uuids: numbers }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('truncate') }) },
)
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never

async function take(of: Step): Promise<unknown> {
  if ('rows' in of) return mergeJobs(db, await openRun(db, of.account), of.rows)
  if (of.kind === 'keep' && 'account' in of) return refreshDailyTotals(db, of.account)
  if (of.kind === 'remove' && 'uuids' in of && 'account' in of)
    return markRemoved(db, await openRun(db, of.account), of.uuids)
  if ('to' in of) return sql('UPDATE spidra.batch_jobs SET created_at = $2 WHERE uuid = ANY ($1)', [of.uuids, of.to])
  if ('uuids' in of && 'account' in of)
    return sql('UPDATE spidra.batch_jobs SET account = $2 WHERE uuid = ANY ($1)', [of.uuids, of.account])
  if ('uuids' in of) return sql('DELETE FROM spidra.batch_jobs WHERE uuid = ANY ($1)', [of.uuids])
  return sql('TRUNCATE spidra.batch_jobs')
}

test('equals a recomputation from the jobs after anything that writes them, with computed, stale and mixed days', {
  timeout: 600_000,
}, async () => {
  const steps = fc.array(step, { minLength: 1, maxLength: 12 })
  const numRuns = Number(process.env.TORTURE_RUNS ?? 60)
  await fc.assert(
    fc.asyncProperty(steps, async (taken) => {
      await sql(NEW_DATABASE)
      for (const one of taken) {
        await take(one)
        const { view, expected } = await compareDays(database)
        expect(view).toEqual(expected)
      }
    }),
    { numRuns },
  )
})

test('equals a recomputation of 5,000 simulated jobs, before and after the sums are computed', async () => {
  await using simulator = await startSimulator({ jobs: 5_000, rateLimit: 'off', oddities: 0.02 })
  await loadTable(simulator, database)
  const kept = await compareDays(database)
  await sql('UPDATE spidra.batch_jobs SET total_urls = total_urls')
  const stale = await compareDays(database)

  expect(kept.view).toEqual(kept.expected)
  expect(kept.view.reduce((total, { jobs }) => total + jobs, 0)).toBe(5_000)
  expect(stale.view).toEqual(kept.view)
  expect(await sql('SELECT count(*)::integer > 80 AS many FROM spidra.stale_days')).toEqual([{ many: true }])
})

test('reads the sums of computed days, and the jobs of stale days', async () => {
  await mergeJobs(
    db,
    await openRun(db),
    jobRows(4, (n) => ({ createdAt: `2026-03-0${n % 2 === 0 ? 2 : 4}T01:00:00Z` })),
  )
  expect(await refreshDailyTotals(db, 'default')).toBe(2)
  await sql('UPDATE spidra.daily_totals SET jobs = 77')
  const byDay = () =>
    sql(`SELECT day::text, sum(jobs)::integer AS jobs FROM spidra_reporting.daily_batch_jobs
      WHERE day BETWEEN '2026-03-02' AND '2026-03-04' GROUP BY day ORDER BY day`)

  expect(await byDay()).toEqual([
    { day: '2026-03-02', jobs: 77 },
    { day: '2026-03-03', jobs: 0 },
    { day: '2026-03-04', jobs: 77 },
  ])
  await mergeJobs(db, await openRun(db), [jobRow({ uuid: uuidOf(9), createdAt: '2026-03-04T02:00:00Z' })])
  expect(await byDay()).toMatchObject([{ jobs: 77 }, { jobs: 0 }, { jobs: 3 }])
  expect(await refreshDailyTotals(db, 'default')).toBe(1)
  expect(await byDay()).toMatchObject([{ jobs: 77 }, { jobs: 0 }, { jobs: 3 }])
})

test('has the channels and formats of a day, null and empty apart, and one row of zeros for a day without jobs', async () => {
  await mergeJobs(db, await openRun(db), [
    jobRow({ uuid: uuidOf(1), scrapingChannel: null, createdAt: '2026-03-01T00:00:00Z' }),
    jobRow({ uuid: uuidOf(2), scrapingChannel: '', createdAt: '2026-03-01T23:59:59.999999Z' }),
    jobRow({ uuid: uuidOf(3), scrapingChannel: 'api', createdAt: '2026-03-03T00:00:00Z' }),
  ])
  await mergeJobs(db, await openRun(db, 'other'), [jobRow({ uuid: uuidOf(4), createdAt: '2026-03-02T00:00:00Z' })])
  const read = () =>
    sql(`SELECT account, day::text, scraping_channel, output_format, jobs::integer FROM spidra_reporting.daily_batch_jobs
      WHERE day <= '2026-03-03' ORDER BY account, day, scraping_channel NULLS FIRST`)
  const row = (account: string, day: string, scraping_channel: string | null, jobs: number) => {
    return { account, day, scraping_channel, output_format: jobs === 0 ? null : 'json', jobs }
  }

  expect(await read()).toEqual([
    row('default', '2026-03-01', null, 1),
    row('default', '2026-03-01', '', 1),
    row('default', '2026-03-02', null, 0),
    row('default', '2026-03-03', 'api', 1),
    row('other', '2026-03-02', 'api', 1),
    row('other', '2026-03-03', null, 0),
  ])
  expect(
    await sql(`SELECT account, max(day) - (now() AT TIME ZONE 'UTC')::date AS ahead,
        count(DISTINCT day)::integer - (max(day) - min(day) + 1) AS missing
      FROM spidra_reporting.daily_batch_jobs GROUP BY account ORDER BY account`),
  ).toEqual([
    { account: 'default', ahead: 0, missing: 0 },
    { account: 'other', ahead: 0, missing: 0 },
  ])
})

test('grows with the jobs, however many channels and formats they have', async () => {
  const names = 2_000
  await mergeJobs(
    db,
    await openRun(db),
    jobRows(names, (n) => ({
      scrapingChannel: `channel ${n}`,
      outputFormat: `format ${n}`,
      createdAt: `2026-03-${String((n % 30) + 1).padStart(2, '0')}T00:00:00Z`,
    })),
  )
  const [read] = await sql(`SELECT count(*) FILTER (WHERE jobs > 0)::integer AS with_jobs,
    count(*) FILTER (WHERE jobs = 0)::integer - (max(day) - '2026-03-30') AS others FROM spidra_reporting.daily_batch_jobs`)

  expect(read).toEqual({ with_jobs: names, others: 0 })
})

test('a job dated to either end of the calendar adds its day, and no empty days up to it', async () => {
  const dates = ['0001-01-01T00:00:00Z', '2026-03-01T00:00:00Z', '9999-12-30T00:00:00Z']
  await mergeJobs(
    db,
    await openRun(db),
    dates.map((createdAt, i) => jobRow({ uuid: uuidOf(i), createdAt })),
  )
  const read = () =>
    sql(`SELECT count(*)::integer AS days, count(*) FILTER (WHERE jobs = 1)::integer AS with_jobs, max(day)::text AS last
      FROM spidra_reporting.daily_batch_jobs`)

  // Ten years of gaps, and the two ends.
  expect(await read()).toEqual([{ days: 3_656, with_jobs: 3, last: '9999-12-30' }])
  expect(await refreshDailyTotals(db, 'default')).toBe(3)
  expect(await read()).toEqual([{ days: 3_656, with_jobs: 3, last: '9999-12-30' }])

  const infinities = `UPDATE spidra.batch_jobs SET created_at = CASE uuid WHEN $1 THEN '-infinity' ELSE 'infinity' END::timestamptz
    WHERE uuid <> $2`
  await sql(infinities, [uuidOf(0), uuidOf(1)])
  expect((await read())[0]).toMatchObject({ with_jobs: 1 })
})

test('counts the largest possible number of URLs', async () => {
  const most = 2_147_483_647
  const counts = { status: 'completed', totalUrls: most, completedCount: most, failedCount: most }
  await mergeJobs(
    db,
    await openRun(db),
    jobRows(3, () => counts),
  )

  const { view, expected } = await compareDays(database)
  expect(view).toEqual(expected)
  expect(view.find(({ jobs }) => jobs === 3)).toMatchObject({ urls: 3 * most, success_rate: 0.5 })
})

test('is empty without jobs, and after all were removed', async () => {
  expect(await sql('SELECT * FROM spidra_reporting.daily_batch_jobs')).toEqual([])
  const run = await openRun(db)
  await mergeJobs(db, run, jobRows(2))
  await refreshDailyTotals(db, 'default')
  await markRemoved(db, run, [uuidOf(1), uuidOf(2)])

  expect(await sql('SELECT * FROM spidra_reporting.daily_batch_jobs')).toEqual([])
  expect(await refreshDailyTotals(db, 'default')).toBe(1)
  expect(await sql('SELECT * FROM spidra_reporting.daily_batch_jobs')).toEqual([])
  expect(await sql('SELECT * FROM spidra.daily_totals')).toEqual([])
})

// 14 hours ahead and 12 behind: at any hour it is another day in one of them.
test.each(['Etc/GMT-14', 'Etc/GMT+12'])('has UTC days for a reader and a writer in the time zone %s', async (zone) => {
  await mergeJobs(
    db,
    await openRun(db),
    jobRows(4, (n) => ({ createdAt: `2026-03-29T${n % 2 === 0 ? '00:30' : '23:30'}:00Z` })),
  )
  await using reader = await openTransaction(database)
  await reader.query(`SET LOCAL TimeZone = '${zone}'`)
  await reader.query(`SET LOCAL DateStyle = 'German'`)
  const read = async () =>
    (
      await reader.query(`SELECT to_char(day, 'YYYY-MM-DD') AS day, jobs::integer, p50_duration_seconds
      FROM spidra_reporting.daily_batch_jobs WHERE jobs > 0`)
    ).rows

  const stale = await read()
  expect(stale).toEqual([{ day: '2026-03-29', jobs: 4, p50_duration_seconds: null }])
  await reader.query(`SELECT spidra.keep_stale_days('default')`)
  expect(await read()).toEqual(stale)
  const { rows } = await reader.query(`
      SELECT max(day) = (now() AT TIME ZONE 'UTC')::date AS until_today FROM spidra_reporting.daily_batch_jobs`)
  expect(rows).toEqual([{ until_today: true }])
})
