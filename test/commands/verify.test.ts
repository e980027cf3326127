import { expect, test } from 'vitest'
import { runVerifyCommand } from '../../src/commands/verify.js'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import { commandContext } from '../support/command-context.js'
import { openRun } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { loadTable } from '../support/sync-runner.js'

const database = await shareTestDatabase()

/** Runs `verify` over all pages of a small account, unless told otherwise. */
async function verify(simulator: Simulator, sample = 5, json = false) {
  const before = simulator.requestCount
  const { context, written } = commandContext({
    ...{ SPIDRA_API_KEY: simulator.key, SPIDRA_API_URL: simulator.url, DATABASE_URL: database.url },
  })
  const exitCode = await runVerifyCommand(context, { sample, json })
  const pages = simulator.requests.filter(({ number }) => number > before).map(({ page }) => page)
  return { exitCode, lines: written.join('').trimEnd().split('\n'), pages }
}

/** A list of six pages, and the table that holds it. */
async function startVerified() {
  const simulator = await startSimulator({ jobs: 300, oddities: 0.1 })
  await loadTable(simulator, database)
  return { simulator, uuids: [...simulator.account.allUuids()] }
}

async function everything(): Promise<unknown> {
  const tables = ['batch_jobs', 'batch_job_events', 'sync_runs', 'rejected_jobs', 'sync_state']
  return Promise.all(
    tables.map((table) =>
      database.sql(`SELECT t::text AS row, xmin::text, xmax::text FROM spidra.${table} t ORDER BY 1`),
    ),
  )
}

const fieldOf = async (uuid: string, column: string) =>
  (await database.sql(`SELECT ${column}::text AS value FROM spidra.batch_jobs WHERE uuid = $1`, [uuid]))[0]?.value

test('--json prints the comparison in one line', async () => {
  const { simulator, uuids } = await startVerified()
  await using _ = simulator
  await database.sql('UPDATE spidra.batch_jobs SET failed_count = failed_count + 1 WHERE uuid = $1', [uuids[7]])

  const { exitCode, lines } = await verify(simulator, 5, true)

  expect([exitCode, lines.length]).toEqual([3, 1])
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    ...{ account: 'default', skipped: false, moved: 0 },
    differences: [{ uuid: uuids[7], field: 'failed_count', stored: expect.any(String), listed: expect.any(String) }],
  })
})

test('a table that holds what is listed: exit code 0, and nothing is written', async () => {
  const { simulator } = await startVerified()
  await using _ = simulator
  const before = await everything()

  const { exitCode, lines, pages } = await verify(simulator)

  expect(exitCode).toBe(0)
  expect(lines).toEqual(['Compared 300 jobs on 6 pages; 0 have moved since the last run; 0 fields differ.'])
  expect(pages).toEqual([1, 2, 3, 4, 5, 6])
  expect(await everything()).toEqual(before)
})

test.each([
  ['status', `'failed'`],
  ['total_urls', 'total_urls + 1'],
  ['completed_count', 'completed_count + 7'],
  ['failed_count', 'failed_count + 1'],
  ['output_format', `'text'`],
  ['scraping_channel', `'cli'`],
  ['created_at', `created_at + interval '1 microsecond'`],
  ['finished_at', 'NULL'],
  ['extra', `'{"priority": 4}'`],
])('another %s is printed with the stored and the listed value, exit code 3', async (column, value) => {
  const { simulator, uuids } = await startVerified()
  await using _ = simulator
  const [uuid = ''] = await database
    .sql(`SELECT uuid::text AS uuid FROM spidra.batch_jobs WHERE status = 'completed' ORDER BY uuid`)
    .then((rows) => rows.map((row) => String(row.uuid)))
  expect(uuids).toContain(uuid)
  const listed = await fieldOf(uuid, column)
  await database.sql(`UPDATE spidra.batch_jobs SET ${column} = ${value} WHERE uuid = $1`, [uuid])
  const stored = await fieldOf(uuid, column)

  const { exitCode, lines } = await verify(simulator)

  expect(exitCode).toBe(3)
  expect(lines).toEqual([
    `${uuid} ${column}: stored ${stored}, listed ${listed}`,
    'Compared 300 jobs on 6 pages; 0 have moved since the last run; 1 field differs.',
  ])
})

test('a listed job that is not stored, or marked as removed, is a difference', async () => {
  const { simulator, uuids } = await startVerified()
  await using _ = simulator
  const [missing = '', removed = ''] = [uuids[100], uuids[200]].sort()
  await database.sql('DELETE FROM spidra.batch_jobs WHERE uuid = $1', [missing])
  await database.sql('UPDATE spidra.batch_jobs SET removed_at = now() WHERE uuid = $1', [removed])

  const { exitCode, lines } = await verify(simulator)

  expect(exitCode).toBe(3)
  expect(lines).toEqual([
    `${missing} is listed, but not stored`,
    `${removed} is listed, but not stored`,
    'Compared 300 jobs on 6 pages; 0 have moved since the last run; 2 fields differ.',
  ])
})

test('what is open, or came or ended since the last run, has moved: exit code 0', async () => {
  const { simulator, uuids } = await startVerified()
  await using _ = simulator
  const { account } = simulator
  // Ended while the table says that it runs; runs again; ran again and has ended; came.
  await database.sql(`UPDATE spidra.batch_jobs SET status = 'running', finished_at = NULL WHERE uuid = $1`, [uuids[10]])
  account.updateJob(uuids[20] ?? '', { status: 'running', totalUrls: 9 })
  account.updateJob(uuids[30] ?? '', { status: 'completed', totalUrls: 50, finishedAt: new Date().toISOString() })
  account.addJob({ status: 'completed' })

  // As many random pages as there are: all of them.
  const { exitCode, lines } = await verify(simulator, 7)

  expect(lines).toEqual(['Compared 301 jobs on 7 pages; 4 have moved since the last run; 0 fields differ.'])
  expect(exitCode).toBe(0)
})

test('of a long list: the head, N random pages, and as many from the sweep position on', async () => {
  await using simulator = await startSimulator({ jobs: 5_000, ties: 0 })
  await loadTable(simulator, database)
  await database.sql(`UPDATE spidra.sync_state SET sweep_created_at =
    (SELECT created_at FROM spidra.batch_jobs ORDER BY created_at DESC OFFSET 2500 LIMIT 1)`)

  const { exitCode, pages } = await verify(simulator, 3)

  expect(exitCode).toBe(0)
  expect(pages[0]).toBe(1)
  expect(pages).toEqual(expect.arrayContaining([51, 52, 53]))
  expect(new Set(pages).size).toBe(pages.length)
  expect(pages.length).toBeGreaterThanOrEqual(4)
  expect(pages.length).toBeLessThanOrEqual(1 + 3 + 3)
})

test('an account that another worker holds is skipped without a request', async () => {
  const { simulator } = await startVerified()
  await using _ = simulator
  await openRun(database.db)

  const { exitCode, lines, pages } = await verify(simulator)

  expect({ exitCode, lines, pages }).toEqual({
    exitCode: 0,
    lines: ['Skipped: another worker is running account default.'],
    pages: [],
  })
  expect((await verify(simulator)).exitCode).toBe(0)
})
