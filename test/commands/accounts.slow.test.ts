import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { type CliResult, createFolder, type Folder, runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { syncInProcess } from '../support/cli-sync.js'
import { leaksIn } from '../support/leaks.js'
import type { TestDatabase } from '../support/test-database.js'

const KEYS = { berlin: 'spd_canary-of-berlin+/=', paris: 'spd_canary-of-paris"%&' }

/** Two accounts on servers of their own, a database, and a folder with the accounts file. */
interface Scene extends AsyncDisposable {
  readonly folder: Folder
  readonly database: TestDatabase
  readonly env: Readonly<Record<string, string>>
  run(args: readonly string[], env?: Readonly<Record<string, string>>): Promise<CliResult>
  /** `sync` of both accounts in this process, complete. */
  load(): Promise<void>
  /** Writes the accounts file: these fields over those of the two. */
  list(berlin?: object, ...others: readonly object[]): Promise<void>
  /** Requests so far, to either server. */
  requests(): readonly number[]
}

async function openScene(): Promise<Scene> {
  const berlin = await startSimulator({ jobs: 60, key: KEYS.berlin, rateLimit: 'off', seed: 1, arrivalsPerMinute: 0 })
  const paris = await startSimulator({ jobs: 130, key: KEYS.paris, rateLimit: 'off', seed: 2, arrivalsPerMinute: 0 })
  const database = await createCliDatabase()
  const folder = await createFolder()
  const path = join(folder.path, 'accounts.json')
  const env = { SPIDRA_ACCOUNTS_FILE: path, DATABASE_URL: database.url, RATE_LIMIT_REQUESTS: 'off' }
  const scene: Scene = {
    folder,
    database,
    env,
    run: (args, more = {}) => runCli(args, { env: { ...env, ...more }, cwd: folder.path }),
    load: async () => expect(await syncInProcess(env)).toMatchObject({ code: 0 }),
    async list(changes = {}, ...others) {
      const both = [
        { name: 'berlin', apiKey: KEYS.berlin, apiUrl: berlin.url, ...changes },
        { name: 'paris', apiKey: KEYS.paris, apiUrl: paris.url },
      ]
      await writeFile(path, JSON.stringify([...both, ...others]))
      await chmod(path, 0o600)
    },
    requests: () => [berlin.requestCount, paris.requestCount],
    async [Symbol.asyncDispose]() {
      await folder[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
      await berlin[Symbol.asyncDispose]()
      await paris[Symbol.asyncDispose]()
    },
  }
  await scene.list()
  return scene
}

/** The lines of JSON on standard output. */
function linesOf({ stdout }: CliResult): Record<string, unknown>[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}

test('sync runs every account, one JSON line each; of two that are complete it ends with 0', async () => {
  await using scene = await openScene()

  const result = await scene.run(['sync', '--json'])

  expect(result).toMatchObject({ code: 0 })
  expect(linesOf(result)).toMatchObject([
    { status: 'complete', account: 'berlin', inserted: 60 },
    { status: 'complete', account: 'paris', inserted: 130 },
  ])
  expect(
    await scene.database.sql('SELECT account, count(*)::integer AS jobs FROM spidra.batch_jobs GROUP BY 1 ORDER BY 1'),
  ).toEqual([
    { account: 'berlin', jobs: 60 },
    { account: 'paris', jobs: 130 },
  ])
})

test('a refused key of one stops no other; the exit code is the worst', async () => {
  await using scene = await openScene()
  await scene.list({ apiKey: 'spd_canary-that-is-refused' })

  const result = await scene.run(['sync', '--json'])
  const plan = await scene.run(['plan'])

  expect(result.code).toBe(1)
  expect(linesOf(result)).toMatchObject([
    { status: 'failed', account: 'berlin' },
    { status: 'complete', account: 'paris' },
  ])
  expect(plan.code).toBe(1)
  expect(plan.stdout).toMatch(/^== berlin ==\n\n== paris ==\nAccount paris lists 130 jobs/)
  expect(plan.stderr).toMatch(/"level":"error".*"account":"berlin".*"msg":"account failed"/)
})

test('--account picks one: the others see no request', async () => {
  await using scene = await openScene()

  const result = await scene.run(['sync', '--json', '--account', 'paris'])

  expect(result.code).toBe(0)
  expect(linesOf(result)).toMatchObject([{ status: 'complete', account: 'paris' }])
  expect(scene.requests()[0]).toBe(0)
})

describe('with both accounts stored', () => {
  let scene: Scene
  beforeAll(async () => {
    scene = await openScene()
    await scene.load()
    return () => scene[Symbol.asyncDispose]()
  })

  test.each(['sync', 'plan', 'verify', 'start', 'doctor', 'status', 'report'])(
    '%s with a name that nobody knows ends with 2, and tells the known ones',
    async (command) => {
      const { code, stdout, stderr } = await scene.run([command, '--account', 'rome'])

      expect([code, stdout]).toEqual([2, ''])
      expect(stderr).toBe('spidra-sync: There is no account "rome". Known: berlin, paris.\n')
    },
  )

  test('report and doctor print a JSON line for each account, and status one for all', async () => {
    expect(linesOf(await scene.run(['status', '--json']))).toMatchObject([
      { version: 1, accounts: [{ account: 'berlin' }, { account: 'paris' }], fleet: null },
    ])
    for (const command of ['report', 'doctor']) {
      const lines = linesOf(await scene.run([command, '--json']))
      const names = lines.map(({ account, filters }) => account ?? (filters as { account: string }).account)
      expect(names, command).toEqual(['berlin', 'paris'])
    }
  })

  test('report --html of several accounts asks for one', async () => {
    const { code, stderr } = await scene.run(['report', '--html', 'page.html'])

    expect(code).toBe(2)
    expect(stderr).toContain('--html writes one account into a file; name it with --account: berlin, paris.')
  })

  test('status and report show an account that is stored, though the file has it no more', async () => {
    await scene.list({ name: 'munich' })

    const status = await scene.run(['status', '--json', '--account', 'berlin'])
    const report = await scene.run(['report', '--account', 'berlin'])

    expect(linesOf(status)).toMatchObject([{ accounts: [{ account: 'berlin', liveJobs: 60 }] }])
    expect(report.code).toBe(0)
  })
})

test('what is for people has a heading for each account, or a line, and no more than 80 columns', async () => {
  await using scene = await openScene()
  const long = { name: 'n'.repeat(60), apiKey: 'spd_refused-canary', apiUrl: 'http://127.0.0.1:9' }
  const synced = await scene.run(['sync'])
  await scene.list({}, long)
  const commands = ['plan', 'verify', 'report', 'doctor', 'status']

  const results = await Promise.all(commands.map((command) => scene.run([command], { REQUEST_RETRIES: '0' })))

  expect(synced.stdout).toMatch(/^== berlin ==\nComplete: .*60 jobs.*\n.*\n\n== paris ==\nComplete: .*130 jobs/)
  expect(results.map(({ code }) => code)).toEqual([1, 1, 0, 1, 0])
  const [plan = '', verify = '', report = '', doctor = '', status = ''] = results.map(({ stdout }) => stdout)
  for (const text of [plan, verify, report, doctor]) {
    expect(text.match(/^== .* ==$/gm)).toEqual(['== berlin ==', '== paris ==', `== ${long.name} ==`])
  }
  expect(doctor.match(/^\w+ +(database|node) {2}/gm)).toHaveLength(2)
  expect(status).toMatch(/^Account +Last run +Complete as of +Jobs +Alerts\nberlin +complete +[\d.]+ s ago +60 +0\n/)
  expect(status).toMatch(/^n{35}… no run yet +never +0 +0$/m)
  const lines = [synced.stdout, plan, verify, report, doctor, status].join('\n').split('\n')
  expect(lines.filter((line) => line.length > 80)).toEqual([])
})

test('a job that the list of another account holds moves there, keeps one row, and has an event', async () => {
  await using scene = await openScene()
  await scene.load()
  await scene.database.sql(`UPDATE spidra.batch_jobs SET account = 'paris' WHERE uuid IN (
    SELECT uuid FROM spidra.batch_jobs WHERE account = 'berlin' ORDER BY created_at LIMIT 2)`)

  const { code } = await scene.run(['sync', '--full', '--account', 'berlin'])

  expect(code).toBe(0)
  expect(
    await scene.database.sql('SELECT account, count(*)::integer FROM spidra.batch_jobs GROUP BY 1 ORDER BY 1'),
  ).toEqual([
    { account: 'berlin', count: 60 },
    { account: 'paris', count: 130 },
  ])
  expect(
    await scene.database.sql('SELECT kind, account, count(*)::integer FROM spidra.batch_job_events GROUP BY 1, 2'),
  ).toEqual([{ kind: 'moved', account: 'berlin', count: 2 }])
})

test('no key shows in any output at trace level, and none stays in the environment of the process', {
  timeout: 90_000,
}, async () => {
  await using scene = await openScene()
  await scene.list({}, { name: 'rome', apiKeyEnv: 'SPIDRA_KEY_OF_ROME' }, { name: 'oslo', apiKeyEnv: 'OSLO' })
  const keys = [...Object.values(KEYS), 'spd_canary-of-rome', 'spd_canary-of-oslo']
  await writeFile(join(scene.folder.path, '.env'), 'OSLO=spd_canary-of-oslo\n')
  await chmod(join(scene.folder.path, '.env'), 0o600)
  const atExit = 'process.on("exit", () => process.stderr.write("ENV " + JSON.stringify(process.env)))'
  const env = {
    ...scene.env,
    ...{ SPIDRA_KEY_OF_ROME: 'spd_canary-of-rome', LOG_LEVEL: 'trace', REQUEST_RETRIES: '0' },
    SPIDRA_API_URL: 'http://127.0.0.1:9',
  }
  const nodeFlags = [`--import=data:text/javascript,${encodeURIComponent(atExit)}`]
  const run = (args: readonly string[], more = {}) =>
    runCli(args, { env: { ...env, ...more }, cwd: scene.folder.path, nodeFlags })

  const commands = [['sync'], ['sync', '--json'], ['plan'], ['verify'], ['status'], ['report'], ['doctor']]
  const results = []
  for (const args of commands) results.push(await run(args))
  const fleetEnv = { ...env, HTTP_PORT: 'off' }
  await using service = await startCli(['start'], { env: fleetEnv, cwd: scene.folder.path, nodeFlags })
  await service.says(/"msg":"run failed"/)
  service.kill('SIGTERM')
  results.push(await service.ended)
  results.push(await run(['sync'], { PAGES_PER_RUN: 'x' }), await run(['sync', '--account', KEYS.paris]))

  const seen = results.map(({ stdout, stderr }) => stdout + stderr).join('\n')
  expect(results.map(({ code }) => code)).toEqual([1, 1, 1, 1, 0, 0, 1, 0, 2, 2])
  expect(seen).not.toContain('canary')
  expect(seen).not.toContain('SPIDRA_KEY_OF_ROME is ignored')
  expect(leaksIn(seen, keys)).toEqual([])
  expect(seen.match(/ENV \{/g)?.length).toBe(results.length)
})

test('a refused key is named by its account and by where it comes from', { timeout: 60_000 }, async () => {
  await using scene = await openScene()
  const reasons = async () => {
    const { stdout } = await scene.run(['sync', '--json'], { OF_BERLIN: 'spd_wrong' })
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).reason)
  }

  await scene.list({ apiKey: 'spd_wrong' })
  expect(await reasons()).toEqual([
    expect.stringMatching(/ the key of account berlin \(in SPIDRA_ACCOUNTS_FILE\)/),
    null,
  ])

  await scene.list({ apiKey: undefined, apiKeyEnv: 'OF_BERLIN' })
  expect(await reasons()).toEqual([expect.stringMatching(/ the key of account berlin \(variable OF_BERLIN\)/), null])
})

test('a service with an accounts file says how many accounts it starts with, and names none', async () => {
  await using scene = await openScene()
  await scene.list()
  await using service = await startCli(['start'], { env: { ...scene.env, HTTP_PORT: 'off' }, cwd: scene.folder.path })

  const [line] = await service.says(/^.*"msg":"service starting".*$/m)

  expect(JSON.parse(line)).toMatchObject({ accounts: 2 })
  expect(JSON.parse(line)).not.toHaveProperty('account')
})
