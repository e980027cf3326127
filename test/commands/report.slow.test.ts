import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { API_KEY, createFolder, runCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { fillDashboard, fillResults } from '../support/dashboard-example.js'
import { loadedModules } from '../support/loaded-modules.js'
import { createTestDatabase } from '../support/test-database.js'

async function filled({ hasResults = false } = {}) {
  const database = await createTestDatabase()
  await fillDashboard(database)
  if (hasResults) await fillResults(database)
  return {
    env: { DATABASE_URL: database.url },
    sql: database.sql,
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  }
}

test('shows freshness first, days with bars, open jobs and runs, in 80 columns and without control characters', async () => {
  await using database = await filled()

  const { code, stdout, stderr } = await runCli(['report'], { env: database.env })

  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(/^Complete as of [\d:]+ UTC, /)
  expect(stdout).toMatch(/\n\d{4}-\d\d-\d\d +█+/)
  expect(stdout).toMatch(/\nOpen jobs: 10, stuck 2; the oldest:\n/)
  expect(stdout).toMatch(/incremental +complete/)
  expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
  expect(stdout.replaceAll('\n', '')).not.toMatch(/\p{C}/u)
})

test('shows how far results are, credits a day and failing hosts, where they are kept', async () => {
  await using database = await filled({ hasResults: true })
  await using off = await filled()

  const { stdout } = await runCli(['report'], { env: database.env })
  const json = async (env: Readonly<Record<string, string>>) =>
    JSON.parse((await runCli(['report', '--json'], { env })).stdout)

  expect(stdout).toMatch(/\nResults: [\d,]+ of [\d,]+ ended batches read, \d+ due, done about [^\n]+ UTC\.\n/)
  expect(stdout).toMatch(/\nDay .* p95 +Credits\n/)
  expect(stdout).toMatch(/\nFailing hosts in the last 30 days:\nHost +Error +URLs\n/)
  expect(stdout).toMatch(/\nslow\.example\.com +Navigation timeout of 30000 ms exceeded +\d+\n/)
  expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
  expect(stdout.replaceAll('\n', '')).not.toMatch(/\p{C}/u)
  expect(await json(database.env)).toMatchObject({
    results: { progress: { mode: 'items' }, failingHosts: expect.any(Array) },
  })
  expect(await json(off.env)).not.toHaveProperty('results')
})

test('shows how far a first load is', async () => {
  await using database = await filled()
  await database.sql(`
    UPDATE spidra.sync_state SET is_whole = false, last_complete_at = NULL, full_started_at = now(), pass_total = 20000,
      next_run_at = NULL;
    UPDATE spidra.sync_runs SET status = 'partial', status_reason = 'first_pass_unfinished', error_code = NULL,
      error_message = NULL, listed_total = NULL, stored_total = NULL`)

  const { stdout } = await runCli(['report'], { env: database.env })

  expect(stdout.replaceAll('\n', ' ')).toMatch(
    /^Not complete yet: [\d,]+ of 20,000 jobs \(\d+ %\), waiting for the next run\. /,
  )
})

test('--json is one line with the numbers of the views, for the days asked, and all their jobs', async () => {
  await using database = await filled()
  // More than the dashboard would sort.
  await database.sql(`
    INSERT INTO spidra.batch_jobs (uuid, status, total_urls, completed_count, failed_count, created_at, finished_at)
    SELECT gen_random_uuid(), 'completed', 1, 1, 0, t, t + make_interval(secs => i % 1000)
    FROM generate_series(1, 51000) i CROSS JOIN LATERAL (SELECT now() - make_interval(secs => i) AS t) at`)

  const { code, stdout } = await runCli(['report', '--json', '--days', '7'], { env: database.env })
  const [view] = await database.sql(`
    SELECT count(*)::int AS jobs, percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds) AS p95
    FROM spidra_reporting.batch_jobs WHERE created_date > (now() AT TIME ZONE 'UTC')::date - 7`)

  expect([code, stdout.trimEnd().split('\n').length]).toEqual([0, 1])
  const report = JSON.parse(stdout)
  expect(report.days).toHaveLength(7)
  expect([report.total.jobs, report.totalDuration.p95_seconds, report.minutes]).toEqual([view?.jobs, view?.p95, 1])
})

test('--html writes one file that names no address to load from', async () => {
  await using database = await filled()
  await using folder = await createFolder()

  const result = await runCli(['report', '--html', 'report.html'], { env: database.env, cwd: folder.path })
  const page = await readFile(join(folder.path, 'report.html'), 'utf8')

  expect(result).toMatchObject({ code: 0, stdout: 'Written: report.html\n', stderr: '' })
  expect(page).toContain('<h1><a href="#sql-freshness">Complete as of')
  expect(page.match(/<svg class="chart wide"/g)).toHaveLength(5)
  const tags = page.match(/<(?:link|img|script|iframe|form)\b[^>]*>/g)
  expect(tags).toEqual(['<link rel="icon" href="data:,">', '<script>'])
})

test('reports the account asked for, and none other', async () => {
  await using database = await filled()

  await database.sql("INSERT INTO spidra.sync_state (account) VALUES ('other')")
  const { code, stdout } = await runCli(['report', '--account', 'other'], { env: database.env })

  expect(code).toBe(0)
  expect(stdout).toMatch(/^No run yet for account other/)
  expect(stdout).toMatch(/ jobs 0, /)
})

test('a file that cannot be written, days that are none, and a database without tables end with 2 and a sentence', async () => {
  await using database = await filled()
  await using empty = await createCliDatabase()

  const unwritable = await runCli(['report', '--html', '/no-such-folder/report.html'], { env: database.env })
  const days = await runCli(['report', '--days', '0'], { env: database.env })
  const bare = await runCli(['report'], { env: { DATABASE_URL: empty.url } })

  expect(unwritable).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('cannot be written to /no-such-folder/report.html (ENOENT)'),
  })
  expect(days).toMatchObject({ code: 2, stderr: expect.stringContaining('It must be 1 to 400.') })
  expect(bare).toMatchObject({ code: 2, stderr: expect.stringContaining('spidra-sync migrate') })
})

test('sync and the report on a terminal load no chart library; the file does', async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 5, key: API_KEY, rateLimit: 'off' })
  const env = { DATABASE_URL: database.url, SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url }
  const loadedBy = async (...args: string[]) => {
    await using folder = await createFolder()
    const coverage = join(folder.path, 'coverage')
    const { code, stderr } = await runCli(args, { env: { ...env, NODE_V8_COVERAGE: coverage }, cwd: folder.path })
    expect([code, stderr]).toEqual([0, expect.any(String)])
    const modules = await loadedModules(coverage)
    return {
      program: modules.includes('src/cli.ts'),
      charts: modules.some((name) => /\/(echarts|zrender)$/.test(name)),
    }
  }

  expect(await loadedBy('sync')).toEqual({ program: true, charts: false })
  expect(await loadedBy('report')).toEqual({ program: true, charts: false })
  expect(await loadedBy('report', '--html', 'report.html')).toEqual({ program: true, charts: true })
})
