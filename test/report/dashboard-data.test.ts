import { describe, expect, test } from 'vitest'
import { type Filters, readDashboard } from '../../src/report/dashboard-data.js'
import { fillDashboard } from '../support/dashboard-example.js'
import { createTestDatabase } from '../support/test-database.js'

const database = await createTestDatabase()
await fillDashboard(database)

const read = (change: Partial<Filters> = {}) =>
  readDashboard(database.db, { account: 'default', channel: null, days: 30, ...change })

describe('numbers', () => {
  test.each([
    [null, 30],
    ['api', 7],
    ['playground', 400],
    ['(none)', 90],
    ['no such', 30],
  ])('of channel %s over %s days equal those of the jobs', async (channel, days) => {
    const { total, totalDuration, durations, days: byDay } = await read({ channel, days })
    const jobs = await database.sql(
      `SELECT count(*)::int AS jobs, coalesce(sum(total_urls), 0)::int AS urls,
           coalesce(sum(completed_count), 0)::int AS completed,
           count(*) FILTER (WHERE outcome = 'partly_failed')::int AS partly,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds) AS p95
         FROM spidra_reporting.batch_jobs
         WHERE account = 'default' AND created_date > (now() AT TIME ZONE 'UTC')::date - $1::int
           AND ($2::text IS NULL OR coalesce(scraping_channel, '(none)') = $2)`,
      [days, channel],
    )

    expect({
      jobs: total?.jobs,
      urls: total?.urls,
      completed: total?.completed_urls,
      partly: total?.partly_failed_jobs,
      p95: totalDuration?.p95_seconds ?? null,
    }).toEqual(jobs[0])
    expect(byDay.reduce((sum, day) => sum + day.jobs, 0)).toBe(total?.jobs)
    const finished = durations.reduce((sum, day) => sum + day.finished_jobs, 0)
    expect(finished).toBe(totalDuration?.finished_jobs ?? 0)
  })

  test.each([
    [null, 2],
    ['no such', 30],
  ])('of channel %s include days without jobs, oldest day first', async (channel, empty) => {
    const { days } = await read({ channel })

    expect(days).toHaveLength(30)
    expect(days.map(({ day }) => day)).toEqual(days.map(({ day }) => day).sort())
    expect(days.filter(({ jobs }) => jobs === 0)).toHaveLength(empty)
  })

  test('of lists that are cut off count all rows', async () => {
    const { open, stuck, changes, rejections, runs } = await read()

    expect([open.length, open[0]?.jobs_in_all, stuck.length, rejections[0]?.items_in_all]).toEqual([10, 10, 2, 2])
    expect([changes.length, runs.length]).toEqual([15, 260])
    expect(changes.filter((change) => change.is_reopened)).toHaveLength(1)
  })

  test('come with the accounts and channels to choose from, the chosen one included', async () => {
    expect(await read({ channel: 'other' })).toMatchObject({
      accounts: ['default'],
      channels: expect.arrayContaining(['(none)', 'api', 'other', 'playground']),
    })
  })

  test('of an account without jobs are empty, without an error', async () => {
    expect(await read({ account: 'nobody' })).toMatchObject({
      freshness: { complete_as_of: null, status: null },
      budget: null,
      days: [],
      runs: [],
      open: [],
    })
  })
})

test('reading runs in a read-only transaction, so that not even a view can write', async () => {
  await using trap = await createTestDatabase()
  await fillDashboard(trap)
  await trap.sql(`
    CREATE TABLE public.notes (at timestamptz);
    CREATE FUNCTION public.note() RETURNS boolean LANGUAGE sql AS 'INSERT INTO public.notes VALUES (now()) RETURNING true';
    ALTER VIEW spidra_reporting.rejected_items RENAME TO kept;
    CREATE VIEW spidra_reporting.rejected_items AS SELECT * FROM spidra_reporting.kept WHERE public.note()`)

  const reading = readDashboard(trap.db, { account: 'default', channel: null, days: 30 })

  await expect(reading).rejects.toThrow(/read-only transaction/)
})

test('above 50,000 jobs, durations are estimated from every seventh minute, close to the exact ones', async () => {
  await using large = await createTestDatabase()
  await large.sql(`
    INSERT INTO spidra.batch_jobs (uuid, status, total_urls, completed_count, failed_count, created_at, finished_at)
    SELECT gen_random_uuid(), 'completed', 1, 1, 0, t, t + make_interval(secs => (i * 7919) % 1000)
    FROM generate_series(1, 60000) i
    CROSS JOIN LATERAL (SELECT now() - make_interval(secs => (i % 25000) * 20) AS t) at`)
  const filters = { account: 'default', channel: null, days: 7 }

  const part = await readDashboard(large.db, filters)
  const whole = await readDashboard(large.db, filters, { isExact: true })

  expect([part.minutes, whole.minutes]).toEqual([7, 1])
  expect(whole.totalDuration?.finished_jobs).toBe(60_000)
  expect((part.totalDuration?.finished_jobs ?? 0) / 60_000).toBeCloseTo(1 / 7, 1)
  expect(Math.abs((part.totalDuration?.p95_seconds ?? 0) - (whole.totalDuration?.p95_seconds ?? 0))).toBeLessThan(50)
})
