import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { runPlanCommand } from '../../src/commands/plan.js'
import { openEmbeddedPostgres } from '../../src/db/embedded/postgres.js'
import { migrate } from '../../src/db/migrate.js'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'
import { createFolder } from '../support/cli.js'
import { commandContext } from '../support/command-context.js'
import { uuidOf } from '../support/job-rows.js'
import { createTestDatabase } from '../support/test-database.js'

/** Runs `plan` in a directory of its own. */
async function plan(
  api: Pick<Simulator, 'url'>,
  env: Readonly<Record<string, string>> = {},
  { json = false, folder }: { readonly json?: boolean; readonly folder?: string } = {},
) {
  const workingDirectory = folder ?? (await mkdtemp(join(tmpdir(), 'plan-')))
  if (folder === undefined) onTestFinished(() => rm(workingDirectory, { recursive: true }))
  const { context, written } = commandContext(
    { SPIDRA_API_KEY: 'spd_demo', SPIDRA_API_URL: api.url, ...env },
    workingDirectory,
  )
  const exitCode = await runPlanCommand(context, { json })
  const text = written.join('')
  return { exitCode, text, lines: text.split('\n'), figures: figuresOf(text), workingDirectory }
}

/** The rows of the table by their names. */
function figuresOf(text: string): Record<string, string[]> {
  const rows = text.matchAll(/^(Pages|Requests|Share of a window|Windows|Finished \(UTC\)) {2,}(.+)$/gm)
  return Object.fromEntries(Array.from(rows, ([, name, cells]) => [name, cells?.trim().split(/ {2,}/) ?? []]))
}

async function planOf(options: SimulatorOptions, env: Readonly<Record<string, string>> = {}) {
  await using api = await startSimulator(options)
  const result = await plan(api, env)
  expect(api.requestCount).toBe(1)
  expect(api.requests[0]).toMatchObject({ page: 1, limit: 50 })
  return result
}

const epochOf = (cell: string | undefined) => Date.parse(`${cell?.replace(' ', 'T')}Z`)

describe('the figures, from one request', () => {
  test('of 100,000 jobs with 300 requests every 15 min', async () => {
    const startedAt = Date.now()
    const { exitCode, text, figures } = await planOf({ jobs: 100_000 })

    expect(exitCode).toBe(0)
    expect(text).toContain('Account default lists 100,000 jobs on 2,000 pages of 50.')
    expect(text).toMatch(/Budget: 300 requests every 15 min; 299 are left until .* UTC/)
    expect(figures).toMatchObject({
      Pages: ['2,000', '1', '21'],
      // The pages, page 1 at the end, and after each of 13 waits the head and the page of the position.
      Requests: ['2,027', '1', '21'],
      'Share of a window': ['6.8 times', '0.3 %', '7 %'],
      Windows: ['14', '1', '1'],
    })
    const [full, incremental] = figures['Finished (UTC)'] ?? []
    expect(epochOf(full) - startedAt).toBeGreaterThanOrEqual(13 * 900_000 - 2_000)
    expect(epochOf(full) - startedAt).toBeLessThan(13 * 900_000 + 120_000)
    expect(epochOf(incremental) - startedAt).toBeLessThan(30_000)
  })

  test('without a rate limit', async () => {
    const { text, figures } = await planOf({ jobs: 100_000, rateLimit: 'off' }, { RATE_LIMIT_REQUESTS: 'off' })

    expect(text).toContain('Budget: no limit')
    expect(figures).toMatchObject({
      Requests: ['2,001', '1', '21'],
      'Share of a window': ['-', '-', '-'],
      Windows: ['-', '-', '-'],
    })
  })

  test('with the configured limit, when the API reports none', async () => {
    const env = { RATE_LIMIT_REQUESTS: '100', RATE_LIMIT_WINDOW_SECONDS: '60', RATE_LIMIT_RESERVE: '0' }
    const { text, figures } = await planOf({ jobs: 5_000, rateLimit: 'off' }, env)

    expect(text).toContain('Budget: 100 requests every 1 min, as configured')
    // 101 requests: 100 in the first window, then the head, the position, and the last one.
    expect(figures).toMatchObject({ Requests: ['103', '1', '21'], Windows: ['2', '1', '1'] })
  })

  test('with the limit that the API reports, whatever is configured', async () => {
    const { figures } = await planOf(
      { jobs: 5_000, rateLimit: { limit: 1000 } },
      { RATE_LIMIT_REQUESTS: '10', RATE_LIMIT_RESERVE: '0.5' },
    )

    expect(figures).toMatchObject({ Requests: ['101', '1', '21'], Windows: ['1', '1', '1'] })
  })

  test.each([
    ['one page', 50, '1 page of 50', '1'],
    ['an empty account', 0, '0 pages of 50', '0'],
  ])('of %s', async (_, jobs, pages, read) => {
    const { text, figures } = await planOf({ jobs })

    expect(text).toContain(pages)
    expect(figures).toMatchObject({ Pages: [read, read, read], Requests: ['1', '1', '1'], Windows: ['1', '1', '1'] })
  })
})

describe('of results', () => {
  test('nothing is said where they are off', async () => {
    await using api = await startSimulator({ jobs: 500 })
    expect((await plan(api)).text).not.toContain('Results')
    expect(JSON.parse((await plan(api, {}, { json: true })).text)).not.toHaveProperty('results')
  })

  test('says how many requests they take, and when the last one is made', async () => {
    const startedAt = Date.now()
    const env = { SYNC_RESULTS: 'items', SYNC_SCHEDULE: '*/5 * * * *' }
    const { text } = await planOf({ jobs: 7_200 }, env)

    const flat = text.replaceAll(/\s+/g, ' ')
    // Of 75 requests in 15 minutes, one a run is for the list.
    expect(flat).toContain(
      'Results (SYNC_RESULTS=items): up to 7,200 requests, one for each ended job that is to be read; at most 24 requests a run, the last at ',
    )
    const at = epochOf(/the last at (.{19}) UTC/.exec(flat)?.[1])
    expect(at - startedAt).toBeGreaterThan(299 * 300_000 - 2_000)
    expect(at - startedAt).toBeLessThan(299 * 300_000 + 60_000)
  })

  test('promises no time where no run is scheduled', async () => {
    const { text } = await planOf({ jobs: 7_200 }, { SYNC_RESULTS: 'items', SYNC_SCHEDULE: 'off' })
    expect(text.replaceAll(/\s+/g, ' ')).toMatch(/Results \(SYNC_RESULTS=items\): [^.]*; at most \d+ requests a run\. /)
  })

  test('counts what is due in the table, and all ended jobs before they are switched on', async () => {
    await using database = await createTestDatabase()
    await using api = await startSimulator({ jobs: 6 })
    await database.sql(`
      INSERT INTO spidra.sync_state (account) VALUES ('default');
      INSERT INTO spidra.batch_jobs (uuid, account, status, total_urls, completed_count, failed_count, created_at)
      SELECT gen_random_uuid(), 'default', CASE n WHEN 1 THEN 'running' ELSE 'completed' END, 1, 1, 0, now() FROM generate_series(1, 6) n`)
    const requests = async () => {
      const { text } = await plan(api, { SYNC_RESULTS: 'full', DATABASE_URL: database.url }, { json: true })
      return JSON.parse(text).results
    }

    expect(await requests()).toMatchObject({ mode: 'full', requests: 5 })
    // What was read with items has no results.
    await database.sql(`UPDATE spidra.sync_state SET results_mode = 'items', results_noted_to = '-infinity'`)
    expect(await requests()).toMatchObject({ requests: 5 })
    await database.sql(`UPDATE spidra.sync_state SET results_mode = 'full', results_noted_to = '-infinity'`)
    expect(await requests()).toMatchObject({ requests: 0 })
    expect((await plan(api, { SYNC_RESULTS: 'full', DATABASE_URL: database.url })).text).toContain(
      '\nResults (SYNC_RESULTS=full): no ended job is to be read.\n',
    )
  })
})

test('fits a terminal of 80 columns', async () => {
  for (const options of [{ jobs: 100_000_000 }, { jobs: 0, rateLimit: 'off' as const }]) {
    const { lines } = await planOf(options, {
      ...{ DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/none', SYNC_RESULTS: 'full' },
    })

    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80)
  }
})

test('--json prints the same figures in one line', async () => {
  await using api = await startSimulator({ jobs: 100_000 })

  const { exitCode, text } = await plan(api, {}, { json: true })

  expect([exitCode, text]).toEqual([0, expect.stringMatching(/^\{[^\n]*\}\n$/)])
  expect(JSON.parse(text)).toMatchObject({
    ...{ account: 'default', total: 100_000, limit: 50, fault: null, openPages: null },
    budget: { limit: 300, remaining: 299 },
    full: { pages: 2_000, requests: 2_027, windows: 14 },
    incremental: { pages: 1, requests: 1 },
    withSweep: { pages: 21 },
  })
})

test('says that the answer proves nothing, and why', async () => {
  const { exitCode, text } = await planOf({ jobs: 500, faults: { rates: { totalPagesHigh: 1 } } })

  expect(exitCode).toBe(0)
  expect(text).toContain('The answer proves nothing (12 pages for a total of 500)')
})

test('does not try again: not a refused key, not a server that fails', async () => {
  await using closed = await startSimulator({ key: 'another' })
  await using failing = await startSimulator({ faults: { rates: { http500: 1 } } })

  await expect(plan(closed)).rejects.toMatchObject({ name: 'SpidraError', code: 'forbidden' })
  await expect(plan(failing)).rejects.toMatchObject({ name: 'SpidraError', code: 'server_error' })

  expect([closed.requestCount, failing.requestCount]).toEqual([1, 1])
})

test('during a first load, says what is stored already and what is left', async () => {
  await using database = await createTestDatabase()
  await database.sql(`
    INSERT INTO spidra.batch_jobs (uuid, account, status, total_urls, completed_count, failed_count, created_at)
    SELECT gen_random_uuid(), 'default', 'completed', 1, 1, 0, now() - n * interval '1 minute' FROM generate_series(1, 500) n;
    INSERT INTO spidra.sync_state (account, full_started_at, pass_total) VALUES ('default', now(), 2000)`)

  const { text, lines } = await planOf({ jobs: 2000 }, { DATABASE_URL: database.url })

  expect(text).toContain('\nFirst load: 500 of 2,000 jobs (25 %), waiting for the next run.\n')
  expect(text).toContain('\nLeft of it: 1,500 jobs on 30 pages, 31 requests in 1 window.\n')
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80)
})

describe('open jobs', () => {
  test('are read from the table, where nothing may be written', async () => {
    await using database = await createTestDatabase()
    await database.sql(
      `INSERT INTO spidra.batch_jobs (uuid, account, status, total_urls, completed_count, failed_count, created_at)
       SELECT ($1 || lpad(to_hex(n), 12, '0'))::uuid, 'default', CASE WHEN n IN (3, 120, 130, 900) THEN 'running' ELSE 'completed' END,
         1, 1, 0, timestamptz '2026-03-01' - n * interval '1 minute'
       FROM generate_series(0, 999) AS n`,
      [uuidOf(0).slice(0, -12)],
    )
    await database.sql(`ALTER DATABASE ${database.name} SET default_transaction_read_only = on`)

    const { text, figures } = await planOf({ jobs: 1000 }, { DATABASE_URL: database.url })

    expect(text).toContain('Open jobs below page 1: on 2 pages.')
    expect(figures.Requests).toEqual(['21', '3', '21'])
  })

  test('are read from the embedded Postgres of the folder, where one was made', async () => {
    await using folder = await createFolder()
    await using api = await startSimulator({ jobs: 1000 })
    const embedded = await openEmbeddedPostgres({
      directory: join(folder.path, '.spidra-sync'),
      settings: { fsync: 'off' },
    })
    try {
      await migrate(embedded.url)
      const { text } = await plan(api, {}, { folder: folder.path })

      expect(text).toContain('Open jobs below page 1: on 0 pages.')
    } finally {
      await embedded.close()
    }
  })

  test('are not included without DATABASE_URL, and no Postgres is started for them', async () => {
    const { text, figures, workingDirectory } = await planOf({ jobs: 1000 })

    expect(text).toContain('DATABASE_URL is not set')
    expect(figures.Requests?.[1]).toBe('1')
    expect(existsSync(join(workingDirectory, '.spidra-sync'))).toBe(false)
  })

  test('are not included when the database cannot be reached or has no tables yet', async () => {
    await using empty = await createTestDatabase({ isMigrated: false })
    const away = await planOf({ jobs: 1000 }, { DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/none' })
    const bare = await planOf({ jobs: 1000 }, { DATABASE_URL: empty.url })

    expect(away.exitCode).toBe(0)
    expect(away.text).toContain('Cannot reach Postgres at 127.0.0.1:1')
    expect(bare.text).toContain('spidra-sync migrate')
    expect(await empty.sql(`SELECT FROM pg_namespace WHERE nspname LIKE 'spidra%'`)).toEqual([])
  })
})
