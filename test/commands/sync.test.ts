import { EventEmitter, once } from 'node:events'
import { createServer } from 'node:http'
import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { API_KEY, runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { summaryOf, sync } from '../support/cli-sync.js'
import { item, servePlainList } from '../support/plain-list.js'

const SUMMARY_KEYS = [
  ...['status', 'mode', 'account', 'runId', 'reason', 'requests', 'retries', 'pagesRead', 'jobsRead', 'inserted'],
  ...['updated', 'unchanged', 'removed', 'restored', 'rejected', 'openUnread', 'listedTotal', 'storedTotal'],
  ...['waitedMs', 'durationMs'],
]

test('--json prints the keys of the contract in their order, for --account too', async () => {
  await using database = await createCliDatabase()
  await using list = await servePlainList([], { key: API_KEY })

  const { code, stdout } = await runCli(['sync', '--full', '--json', '--account', 'default'], {
    env: { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: list.url, DATABASE_URL: database.url },
  })

  expect(code).toBe(0)
  const summary = JSON.parse(stdout)
  expect(summary).toMatchObject({
    status: 'complete',
    mode: 'full',
    account: 'default',
    listedTotal: 0,
    storedTotal: 0,
  })
  expect(Object.keys(summary)).toEqual(SUMMARY_KEYS)
})

test('ends with 3 and a reason when what it stored never equals what is listed', async () => {
  await using database = await createCliDatabase()
  await using wrong = await startSimulator({
    ...{ jobs: 120, key: API_KEY, rateLimit: 'off', faults: { rates: { wrongTotal: 1 } } },
  })
  await using twice = await servePlainList([item(2), item(1), item(1)], { key: API_KEY, largestPage: 2 })

  const faulty = await sync(wrong, database, { REQUEST_RETRIES: '1', RETRY_BASE_MS: '1' })
  await using other = await createCliDatabase()
  const doubled = await runCli(['sync'], {
    env: { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: twice.url, DATABASE_URL: other.url },
  })

  expect(faulty).toMatchObject({ code: 3, summary: { status: 'partial', reason: 'page_faulty' } })
  expect(doubled).toMatchObject({
    code: 3,
    stdout: expect.stringMatching(
      /^Partial: the API counts more jobs than it lists \(3 listed, 2 stored\)\. The next full run /,
    ),
  })
  expect(doubled.stderr).toContain('"level":"error"')
})

test('says what is stored as a job and what is in quarantine, as status, report and dashboard view do', async () => {
  await using database = await createCliDatabase()
  const env = { SPIDRA_API_KEY: API_KEY, DATABASE_URL: database.url }
  const run = (api: { readonly url: string }, command: string) =>
    runCli([command], { env: { ...env, SPIDRA_API_URL: api.url } })
  await using good = await servePlainList([item(3), item(2)], { key: API_KEY })
  // Two that are the same and have no uuid, one with a uuid that is stored, one with a new one.
  const nameless = item(1, { uuid: null })
  const items = [item(4, { status: 7 }), item(3), item(2, { status: 7 }), nameless, nameless]
  await using mixed = await servePlainList(items, { key: API_KEY })

  const clean = await run(good, 'sync')
  const first = await run(mixed, 'sync')
  const second = await run(mixed, 'sync')
  const status = await run(mixed, 'status')
  const report = await run(mixed, 'report')

  expect(clean.stdout).toMatch(/^Complete: the table holds all 2 jobs that the API lists\.\n/)
  for (const { code, stdout } of [first, second]) {
    expect([code, stdout]).toEqual([0, expect.any(String)])
    expect(stdout.split('\n').slice(0, 2)).toEqual([
      'Complete: of 5 items that the API lists 2 are stored as jobs, 3 in quarantine (spidra.rejected_jobs).',
      'The newest versions of 1 job are in quarantine (spidra.rejected_jobs).',
    ])
  }
  expect(await database.sql('SELECT count(*)::integer AS jobs FROM spidra.batch_jobs')).toEqual([{ jobs: 2 }])
  expect(status.stdout.replaceAll('\n', ' ')).toContain(
    'Account default: 2 jobs stored. In quarantine (spidra.rejected_jobs): 3 listed items not stored as jobs, the newest versions of 1 stored job.',
  )
  expect(report.stdout.replaceAll('\n', ' ')).toContain('4 listed items could not be stored as listed: in quarantine')
  expect(
    await database.sql('SELECT listed_jobs, stored_jobs, open_rejections FROM spidra_reporting.sync_freshness'),
  ).toEqual([{ listed_jobs: 5, stored_jobs: 5, open_rejections: '4' }])
})

test('names SPIDRA_API_KEY in one line, and fails, when the key is refused', async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 5, key: 'spd_another', rateLimit: 'off' })

  const env = { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.url }
  const { code, stdout, stderr } = await runCli(['sync'], { env })

  expect(code).toBe(1)
  const lines = stdout.split('\n').filter((line) => line.includes('SPIDRA_API_KEY'))
  expect(lines).toEqual([expect.stringMatching(/^Failed: Spidra answered 403/)])
  expect(stdout.match(/invalid, expired or disabled/gi)).toHaveLength(1)
  expect(stderr.match(/Spidra answered 403/g)).toHaveLength(1)
  expect(api.requestCount).toBe(1)
  expect(await database.sql('SELECT status, error_code FROM spidra.sync_runs')).toEqual([
    { status: 'failed', error_code: 'forbidden' },
  ])
})

test('a key that the API quotes back appears nowhere, at any log level', async () => {
  await using database = await createCliDatabase()
  const server = createServer(({ headers }, response) => {
    response
      .writeHead(403, { 'x-echo': `${headers['x-api-key']}` })
      .end(`{"message":"bad key ${headers['x-api-key']}"}`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')

  const { code, summary, stderr } = await sync({ url: `http://127.0.0.1:${address.port}` }, database, {
    LOG_LEVEL: 'trace',
  })
  server.close()

  expect(code).toBe(1)
  expect(summary.reason).toContain('bad key [redacted]')
  expect(stderr).not.toContain(API_KEY)
  expect(JSON.stringify(await database.sql('SELECT * FROM spidra.sync_runs'))).not.toContain(API_KEY)
})

test('a refused page ends the run, and the process, at once', async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 700, key: API_KEY, rateLimit: 'off' })
  api.faults.next('http402', { page: 4 })

  const startedAt = performance.now()
  const { code, summary } = await sync(api, database)

  expect(code).toBe(1)
  expect(summary).toMatchObject({
    status: 'failed',
    reason: expect.stringMatching(/^Spidra answered 402 .*pay the open invoice/),
  })
  // A connection that someone opened after the end would hold the process for 10 s.
  expect(performance.now() - startedAt).toBeLessThan(10_000)
})

test('of two at once one runs and the other says that it skipped; both end with 0', async () => {
  await using database = await createCliDatabase()
  const gate = new EventEmitter()
  const asked = once(gate, 'asked')
  const released = once(gate, 'released')
  await using api = await startSimulator({
    ...{ jobs: 60, key: API_KEY, rateLimit: 'off' },
    async beforeAnswer() {
      gate.emit('asked')
      await released
    },
  })
  const env = { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.url }
  await using first = await startCli(['sync', '--json'], { env })
  await asked

  const second = await runCli(['sync', '--json'], { env })
  const third = await runCli(['sync'], { env })
  await database.sql("INSERT INTO spidra.sync_state (account) VALUES ('other')")
  await using otherApi = await startSimulator({ jobs: 60, seed: 2, key: API_KEY, rateLimit: 'off' })
  const elsewhere = await runCli(['sync', '--json', '--account', 'other'], {
    env: { ...env, SPIDRA_API_URL: otherApi.url },
  })
  gate.emit('released')

  expect(second.code).toBe(0)
  expect(summaryOf(second)).toMatchObject({ status: 'skipped', runId: null, requests: 0 })
  expect(third).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Skipped: another worker/) })
  const ended = await first.ended
  expect([ended.code, summaryOf(ended).status]).toEqual([0, 'complete'])
  expect(summaryOf(elsewhere)).toMatchObject({ account: 'other', status: 'complete' })
  expect(await database.sql(`SELECT status FROM spidra.sync_runs WHERE account = 'default'`)).toHaveLength(1)
})

test('without DATABASE_URL it uses the embedded Postgres of the working directory, says so, and leaves none behind', async () => {
  await using api = await startSimulator({ jobs: 10, key: API_KEY, rateLimit: 'off' })

  const { code, stdout, stderr } = await runCli(['sync'], { env: { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url } })

  expect(code).toBe(0)
  expect(stdout).toMatch(/^Complete: the table holds all 10 jobs/)
  expect(stderr).toContain('no DATABASE_URL: using the embedded postgres')
})
