import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'
import { type CliResult, createFolder, runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { syncInProcess } from '../support/cli-sync.js'
import type { TestDatabase } from '../support/test-database.js'

const KEY = 'spd_canary-of-the-account'
const EPOCH = Date.UTC(2026, 0, 1)

/** The same account for the same seed, however often it is started. */
const open = (options: SimulatorOptions = {}) =>
  startSimulator({ jobs: 60, seed: 1, key: KEY, epoch: EPOCH, rateLimit: 'off', ...options })

type Accounts = Readonly<Record<string, Simulator>>
type SyncOptions = Parameters<typeof syncInProcess>[1]
type Ended = Awaited<ReturnType<typeof syncInProcess>> & { readonly stderr?: string }

interface Scene extends AsyncDisposable {
  readonly database: TestDatabase
  readonly folder: string
  /** A command with the key of the simulator as the only one. */
  run(api: Simulator, ...args: readonly string[]): Promise<CliResult>
  /** A command with an accounts file of these names. */
  runListed(accounts: Accounts, ...args: readonly string[]): Promise<CliResult>
  /** `sync` in this process, with the key of the simulator as the only one. */
  sync(api: Simulator, options?: SyncOptions): Promise<Ended>
  /** `sync` in this process, with an accounts file of these names. */
  syncListed(accounts: Accounts, options?: SyncOptions): Promise<Ended>
  /** Jobs, their accounts and events: what a wrong setting must not change. */
  stored(): Promise<unknown>
  /** As a version before the check has left it. */
  forgetSources(): Promise<void>
}

async function openScene(): Promise<Scene> {
  const database = await createCliDatabase()
  const folder = await createFolder()
  const env = { DATABASE_URL: database.url, RATE_LIMIT_REQUESTS: 'off', HTTP_PORT: 'off' }
  const path = join(folder.path, 'accounts.json')
  const envOf = (api: Simulator) => ({ ...env, SPIDRA_API_KEY: api.key, SPIDRA_API_URL: api.url })
  const envOfListed = async (accounts: Accounts) => {
    const entries = Object.entries(accounts).map(([name, { key, url }]) => ({ name, apiKey: key, apiUrl: url }))
    await writeFile(path, JSON.stringify(entries), { mode: 0o600 })
    return { ...env, SPIDRA_ACCOUNTS_FILE: path }
  }
  return {
    database,
    folder: folder.path,
    run: (api, ...args) => runCli(args, { cwd: folder.path, env: envOf(api) }),
    runListed: async (accounts, ...args) => runCli(args, { cwd: folder.path, env: await envOfListed(accounts) }),
    sync: (api, options) => syncInProcess(envOf(api), options),
    syncListed: async (accounts, options) => syncInProcess(await envOfListed(accounts), options),
    stored: () =>
      database.sql(`SELECT (SELECT json_agg(b ORDER BY uuid) FROM spidra.batch_jobs b) AS jobs,
        (SELECT json_agg(e ORDER BY id) FROM spidra.batch_job_events e) AS events`),
    forgetSources: async () => {
      await database.sql('UPDATE spidra.sync_state SET api_url = NULL, source_fingerprint = NULL')
    },
    async [Symbol.asyncDispose]() {
      await folder[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

const jobsByAccount = ({ database }: Scene) =>
  database.sql(`SELECT account, count(*)::integer AS jobs FROM spidra.batch_jobs WHERE removed_at IS NULL
    GROUP BY 1 ORDER BY 1`)

const complete = ({ code, stdout, stderr = '' }: Ended | CliResult) => expect(code, stdout + stderr).toBe(0)

const COMMANDS = [
  ...['sync', 'sync --full', 'start', 'plan', 'verify', 'status', 'status --json', 'report', 'doctor', 'migrate'],
  ...['grant-reader nobody', 'demo --once', 'simulate --port 0'],
]
const WITHOUT_ACCOUNTS = /^(demo|simulate)/

describe('--account with a name that is neither configured nor stored', () => {
  let empty: Scene
  let stored: Scene
  let api: Simulator
  beforeAll(async () => {
    empty = await openScene()
    stored = await openScene()
    api = await open()
    complete(await stored.sync(api))
    return async () => {
      for (const resource of [empty, stored, api]) await resource[Symbol.asyncDispose]()
    }
  })

  test.each(COMMANDS)('%s ends with 2, names the known ones, asks nothing and changes nothing', async (command) => {
    const before = await stored.stored()
    const requests = api.requestCount

    const result = await stored.run(api, ...command.split(' '), '--account', 'nope')

    const message = WITHOUT_ACCOUNTS.test(command)
      ? / takes no --account: it does not use your accounts\.$/m
      : /^spidra-sync: There is no account "nope"\. Known: default\.$/m
    expect(result).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(message) })
    expect(api.requestCount).toBe(requests)
    expect(await stored.stored()).toEqual(before)
    expect(await stored.database.sql('SELECT account FROM spidra.sync_state')).toEqual([{ account: 'default' }])
  })

  test.each(['sync', 'start', 'verify', 'status', 'report', 'doctor', 'migrate'])(
    '%s refuses it in an empty database too, and makes no tables',
    async (command) => {
      const { code, stderr } = await empty.run(api, command, '--account', 'nope')

      expect([code, stderr]).toEqual([2, 'spidra-sync: There is no account "nope". Known: default.\n'])
      expect(await empty.database.sql("SELECT to_regnamespace('spidra') AS schema")).toEqual([{ schema: null }])
    },
  )

  test('without DATABASE_URL it makes no embedded Postgres to look there', async () => {
    const env = { SPIDRA_API_KEY: api.key, SPIDRA_API_URL: api.url }

    for (const command of ['sync', 'plan', 'status', 'doctor']) {
      const { code, stderr } = await runCli([command, '--account', 'nope'], { cwd: empty.folder, env })
      expect([command, code, stderr]).toEqual([
        command,
        2,
        'spidra-sync: There is no account "nope". Known: default.\n',
      ])
    }
  })

  test('migrate and grant-reader know the names of the accounts file as well as the stored ones', async () => {
    await using scene = await openScene()
    await using api = await open()
    complete(await scene.syncListed({ berlin: api }))

    const accounts = { munich: api }
    const unknown = await scene.runListed(accounts, 'migrate', '--account', 'nope')

    expect([unknown.code, unknown.stderr]).toEqual([
      2,
      'spidra-sync: There is no account "nope". Known: munich, berlin.\n',
    ])
    complete(await scene.runListed(accounts, 'migrate', '--account', 'munich'))
    complete(await scene.runListed(accounts, 'migrate', '--account', 'berlin'))
  })
})

describe('a single key', () => {
  test('may have the name that its account is stored under, and no other one', async () => {
    await using scene = await openScene()
    await using berlin = await open()
    await using other = await open({ seed: 2, jobs: 30, key: 'spd_canary-of-another' })
    complete(await scene.syncListed({ berlin, other }))
    const before = await scene.stored()

    const named = await scene.run(berlin, 'sync', '--json', '--account', 'berlin')
    const unnamed = await scene.run(berlin, 'sync')
    const wrong = await scene.run(berlin, 'sync', '--account', 'other')
    const start = await scene.run(berlin, 'start', '--account', 'other')
    const verify = await scene.run(berlin, 'verify', '--account', 'other')

    complete(named)
    expect(JSON.parse(named.stdout)).toMatchObject({
      account: 'berlin',
      status: 'complete',
      unchanged: 110,
      requests: 3,
    })
    expect([unnamed.code, wrong.code, start.code, verify.code]).toEqual([2, 2, 2, 2])
    expect(unnamed.stderr).toContain(
      'SPIDRA_API_KEY is the key of the stored account "berlin", and cannot be that of "default" too: use the name "berlin"',
    )
    expect(wrong.stderr).toContain('cannot be that of "other" too')
    expect(await scene.stored()).toEqual(before)
  })

  test('keeps its account where it is another one of the same list, at the same address or elsewhere', async () => {
    await using scene = await openScene()
    let port: number
    {
      await using before = await open()
      port = before.port
      complete(await scene.sync(before))
    }
    await using rotated = await open({ port, key: 'spd_canary-of-a-new-key' })

    const first = await scene.sync(rotated)
    const second = await scene.sync(rotated)

    expect(JSON.parse(first.stdout)).toMatchObject({
      status: 'complete',
      updated: 0,
      inserted: 0,
      removed: 0,
      requests: 4,
    })
    // The check is made once.
    expect(JSON.parse(second.stdout)).toMatchObject({ status: 'complete', requests: 3 })
    expect(await jobsByAccount(scene)).toEqual([{ account: 'default', jobs: 60 }])
  })

  test('is found to be the own one below hundreds of new jobs, while the first pass is unfinished', async () => {
    await using scene = await openScene()
    await using api = await open({ jobs: 2_000 })
    complete(await scene.sync(api))
    // As a first load leaves it that was killed: what is new since, and the lower half, is not stored.
    await scene.database.sql(`
      DELETE FROM spidra.batch_jobs WHERE uuid NOT IN (
        SELECT uuid FROM spidra.batch_jobs ORDER BY created_at DESC, uuid OFFSET 700 LIMIT 300);
      UPDATE spidra.sync_state SET is_whole = false, last_complete_at = NULL, source_fingerprint = 'of another key',
        bottom_created_at = (SELECT min(created_at) FROM spidra.batch_jobs)`)

    const { code, stdout } = await scene.sync(api)

    expect([code, JSON.parse(stdout)]).toMatchObject([0, { status: 'complete', storedTotal: 2_000 }])
  })
})

describe('a list that holds none of the stored jobs', () => {
  test.each([
    { stored: 60, listed: 130, why: 'more than a page' },
    { stored: 40, listed: 30, why: 'one page each' },
    { stored: 3, listed: 2, why: 'a handful' },
    { stored: 30, listed: 0, why: 'an empty account' },
    { stored: 1_000, listed: 3_000, why: 'many pages' },
  ])('fails the run and changes nothing: $why', async ({ stored, listed }) => {
    await using scene = await openScene()
    await using own = await open({ jobs: stored })
    complete(await scene.sync(own))
    const before = await scene.stored()
    await using foreign = await open({ jobs: listed, seed: 2 })

    for (const full of [false, true, true]) {
      const { code, stdout } = await scene.sync(foreign, { full, json: false })
      expect(code).toBe(1)
      expect(stdout).toMatch(
        `Failed: The list of account "default" holds none of the ${stored.toLocaleString('en')} jobs`,
      )
      expect(stdout).toMatch(`They were read from ${own.url}, and now ${foreign.url} is asked. Nothing was stored.`)
    }

    expect(await scene.stored()).toEqual(before)
    const runs = await scene.database.sql('SELECT DISTINCT status, error_code FROM spidra.sync_runs WHERE id > 1')
    expect(runs).toEqual([{ status: 'failed', error_code: 'foreign_list' }])
    complete(await scene.sync(own))
  })

  test('is refused for the key alone, while a first pass has stored a little and noted no position', async () => {
    await using scene = await openScene()
    await using api = await open({ jobs: 120, accounts: 2 })
    complete(await scene.sync(api))
    await scene.database.sql(`
      DELETE FROM spidra.batch_jobs WHERE uuid NOT IN (
        SELECT uuid FROM spidra.batch_jobs ORDER BY created_at DESC LIMIT 10);
      UPDATE spidra.sync_state SET is_whole = false, last_complete_at = NULL`)
    const before = await scene.stored()

    const { code, stdout } = await scene.run({ ...api, url: api.url, key: `${KEY}_2` } as Simulator, 'sync')

    expect(code).toBe(1)
    expect(stdout).toContain('SPIDRA_API_KEY is not the key of the last run. Nothing was stored.')
    expect(await scene.stored()).toEqual(before)
  })

  test('is refused in the database of another installation, and where no run has noted its key yet', async () => {
    await using scene = await openScene()
    await using theirs = await open()
    complete(await scene.sync(theirs))
    await scene.forgetSources()
    const before = await scene.stored()
    await using ours = await open({ seed: 2, jobs: 200, key: 'spd_canary-of-ours' })

    const { code, stdout } = await scene.run(ours, 'sync')

    expect([code, stdout]).toEqual([1, expect.stringContaining('Check the key, the URL of the API and DATABASE_URL.')])
    expect(await scene.stored()).toEqual(before)
    // The right key is noted, and its list is read.
    complete(await scene.sync(theirs))
  })

  test('doctor says whose key it is, or that it is another one', async () => {
    await using scene = await openScene()
    await using berlin = await open()
    await using other = await open({ seed: 2, key: 'spd_canary-of-another' })
    complete(await scene.syncListed({ berlin }))
    const finding = async (result: Promise<CliResult>) => {
      const { checks } = JSON.parse((await result).stdout) as { checks: { name: string; status: string }[] }
      return checks.find(({ name }) => name === 'list source')
    }

    expect(await finding(scene.runListed({ berlin }, 'doctor', '--json'))).toMatchObject({ status: 'ok' })
    expect(await finding(scene.runListed({ berlin: other }, 'doctor', '--json'))).toMatchObject({ status: 'warn' })
    expect(await finding(scene.runListed({ munich: berlin }, 'doctor', '--json'))).toMatchObject({
      status: 'fail',
      detail: expect.stringContaining('is the key of the stored account "berlin"'),
    })
  })
})

describe('an accounts file', () => {
  test('with a renamed entry is refused, and nothing moves', async () => {
    await using scene = await openScene()
    await using berlin = await open()
    complete(await scene.syncListed({ berlin }))
    const before = await scene.stored()

    const sync = await scene.runListed({ munich: berlin }, 'sync')
    const start = await scene.runListed({ munich: berlin }, 'start')

    expect([sync.code, start.code]).toEqual([2, 2])
    expect(sync.stderr).toContain(
      'the key of account munich (in SPIDRA_ACCOUNTS_FILE) is the key of the stored account "berlin"',
    )
    expect(sync.stderr).toContain('"Renaming an account" in docs/operations.md')
    expect(await scene.stored()).toEqual(before)
  })

  test('with exchanged keys is refused, with both faults', async () => {
    await using scene = await openScene()
    await using one = await open()
    await using two = await open({ seed: 2, key: 'spd_canary-of-two' })
    complete(await scene.syncListed({ berlin: one, paris: two }))
    const before = await scene.stored()

    const { code, stderr } = await scene.runListed({ berlin: two, paris: one }, 'sync')

    expect(code).toBe(2)
    expect(stderr.match(/is the key of the stored account "(berlin|paris)"/g)).toHaveLength(2)
    expect(await scene.stored()).toEqual(before)
  })

  test.each([
    ['renamed', (one: Simulator, two: Simulator) => ({ munich: one, paris: two })],
    ['exchanged', (one: Simulator, two: Simulator) => ({ berlin: two, paris: one })],
  ])('%s together with an upgrade fails the runs, by what the lists hold', async (_, change) => {
    await using scene = await openScene()
    await using one = await open()
    await using two = await open({ seed: 2, jobs: 130, key: 'spd_canary-of-two' })
    complete(await scene.syncListed({ berlin: one, paris: two }))
    await scene.forgetSources()
    const before = await scene.stored()

    const { code, stdout } = await scene.runListed(change(one, two), 'sync')

    expect(code).toBe(1)
    expect(stdout).toMatch(
      /holds jobs that are stored for "berlin": both names stand for one list\. Nothing was stored\./,
    )
    expect(await scene.stored()).toEqual(before)
  })

  test('with a second key of a stored account under a new name fails that run alone', async () => {
    await using scene = await openScene()
    await using berlin = await open()
    complete(await scene.syncListed({ berlin }))
    const before = await scene.stored()
    await using again = await open({ key: 'spd_canary-of-a-second-key' })

    const { code, stdout } = await scene.runListed({ berlin, again }, 'sync', '--json')

    expect(code).toBe(1)
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { account: 'berlin', status: 'complete' },
      { account: 'again', status: 'failed', reason: expect.stringContaining('stored for "berlin"') },
    ])
    expect(await scene.stored()).toEqual(before)
  })

  test('with a renamed entry that SIGHUP brings to a service fails its runs, and nothing moves', {
    timeout: 60_000,
  }, async () => {
    await using scene = await openScene()
    await using one = await open()
    await using two = await open({ seed: 2, key: 'spd_canary-of-two' })
    complete(await scene.syncListed({ berlin: one, paris: two }))
    const before = await scene.stored()
    const path = join(scene.folder, 'accounts.json')
    await using service = await startCli(['start'], {
      cwd: scene.folder,
      env: {
        ...{ DATABASE_URL: scene.database.url, SPIDRA_ACCOUNTS_FILE: path, HTTP_PORT: 'off' },
        ...{ SYNC_SCHEDULE: '* * * * * *', FULL_SYNC_SCHEDULE: 'off', RATE_LIMIT_REQUESTS: 'off' },
      },
    })
    await service.says(/"msg":"fleet joined"/)
    const entries = { munich: one, paris: two }
    await writeFile(
      path,
      JSON.stringify(Object.entries(entries).map(([name, { key, url }]) => ({ name, apiKey: key, apiUrl: url }))),
    )
    service.kill('SIGHUP')

    await service.says(/"level":"error".*"account":"munich".*is the key of the stored account.*"msg":"run failed"/)

    service.kill('SIGTERM')
    expect((await service.ended).code).toBe(0)
    expect(await scene.stored()).toEqual(before)
  })

  test('refuses one list under two names, be it that of SPIDRA_API_KEY', async () => {
    await using scene = await openScene()
    await using api = await open()

    const twice = await scene.runListed({ berlin: api, paris: api }, 'sync')
    const beside = await runCli(['sync'], {
      cwd: scene.folder,
      env: {
        ...{ SPIDRA_API_KEY: api.key, SPIDRA_API_URL: api.url, DATABASE_URL: scene.database.url },
        SPIDRA_ACCOUNTS_FILE: await fileOf(scene, { berlin: api }),
      },
    })

    expect([twice.code, beside.code]).toEqual([2, 2])
    expect(twice.stderr).toContain('SPIDRA_ACCOUNTS_FILE[1] has the same key as entry 0, account berlin')
    expect(beside.stderr).toContain('SPIDRA_API_KEY is also the key of account berlin in SPIDRA_ACCOUNTS_FILE')
    expect(api.requestCount).toBe(0)
  })
})

async function fileOf({ folder }: Scene, accounts: Readonly<Record<string, Simulator>>): Promise<string> {
  const path = join(folder, 'one.json')
  const entries = Object.entries(accounts).map(([name, { key, url }]) => ({ name, apiKey: key, apiUrl: url }))
  await writeFile(path, JSON.stringify(entries), { mode: 0o600 })
  return path
}

describe('an account that is renamed as the documentation says', () => {
  test('keeps its jobs, its events and its position under the new name, after a refused run too', async () => {
    await using scene = await openScene()
    await using berlin = await open()
    complete(await scene.syncListed({ berlin }))
    // A run that began under the new name and was refused has a record and a state.
    await scene.forgetSources()
    expect((await scene.syncListed({ munich: berlin })).code).toBe(1)

    await scene.database.sql(sqlOfOperations('Renaming an account'))
    const result = await scene.syncListed({ munich: berlin })

    complete(result)
    expect(JSON.parse(result.stdout)).toMatchObject({ status: 'complete', inserted: 0, updated: 0, removed: 0 })
    expect(await jobsByAccount(scene)).toEqual([{ account: 'munich', jobs: 60 }])
    for (const table of ['sync_state', 'sync_runs', 'batch_job_events', 'daily_totals', 'stale_days', 'alerts']) {
      const old = await scene.database.sql(`SELECT FROM spidra.${table} WHERE account = 'berlin'`)
      expect([table, old]).toEqual([table, []])
    }
    const [days] = await scene.database.sql(
      'SELECT sum(jobs)::integer AS jobs, count(DISTINCT account)::integer AS accounts FROM spidra_reporting.daily_batch_jobs',
    )
    expect(days).toEqual({ jobs: 60, accounts: 1 })
  })

  test('makes room for another list under the old name', async () => {
    await using scene = await openScene()
    await using before = await open()
    complete(await scene.sync(before))
    await using after = await open({ seed: 2, jobs: 30, key: 'spd_canary-of-the-new-account' })
    expect((await scene.sync(after)).code).toBe(1)

    await scene.database.sql(sqlOfOperations('Renaming an account', { berlin: 'default', munich: 'old' }))

    complete(await scene.sync(after))
    expect(await jobsByAccount(scene)).toEqual([
      { account: 'default', jobs: 30 },
      { account: 'old', jobs: 60 },
    ])
  })

  test('is not renamed onto another one that has jobs', async () => {
    await using scene = await openScene()
    await using berlin = await open()
    await using munich = await open({ seed: 2, key: 'spd_canary-of-munich' })
    complete(await scene.syncListed({ berlin, munich }))
    const before = await scene.stored()

    await expect(scene.database.sql(sqlOfOperations('Renaming an account'))).rejects.toMatchObject({ code: '23505' })

    expect(await scene.stored()).toEqual(before)
  })
})

/** Reads the first block of SQL under a heading of docs/operations.md, and replaces words in it. */
function sqlOfOperations(heading: string, replace: Readonly<Record<string, string>> = {}): string {
  const text = readFileSync('docs/operations.md', 'utf8')
  const section = text.slice(text.indexOf(`# ${heading}\n`))
  const sql = /```sql\n([\s\S]*?)```/.exec(section)?.[1]
  if (sql === undefined || !text.includes(`# ${heading}\n`)) throw new Error(`no SQL under ${heading}`)
  return Object.entries(replace).reduce((changed, [word, by]) => changed.replaceAll(word, by), sql)
}
