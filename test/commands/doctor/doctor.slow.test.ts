import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startSimulator } from '../../../src/simulator/server.js'
import { API_KEY, type CliResult, createFolder, runCli } from '../../support/cli.js'
import { createCliDatabase } from '../../support/cli-database.js'
import { sync } from '../../support/cli-sync.js'
import { emptyList, fakeSpidra, reply } from '../../support/fake-spidra.js'
import { startOnTerminal, toScreen } from '../../support/terminal.js'
import type { TestDatabase } from '../../support/test-database.js'

const NAMES = [
  ...['node', 'configuration', 'api', 'key', 'rate limit', 'api clock'],
  ...['database', 'database clock', 'rights', 'migrations'],
  ...['list source', 'lock', 'runs', 'freshness', 'rejections', 'disk'],
]

/** An address where nothing listens. */
const AWAY = 'http://127.0.0.1:9/api'

function envOf(api: { readonly url: string } | null, database: { readonly url: string } | null) {
  return { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api?.url ?? AWAY, DATABASE_URL: database?.url }
}

/** The checks of `doctor --json`, by name. */
async function doctor(env: Readonly<Record<string, string | undefined>>, cwd?: string) {
  const result = await runCli(['doctor', '--json'], { env, ...(cwd ? { cwd } : {}) })
  const { checks, ...rest } = parse(result)
  return { ...rest, code: result.code, checks: Object.fromEntries(checks.map((check) => [check.name, check])) }
}

function parse({ stdout, stderr }: CliResult) {
  expect(stdout, stderr).toMatch(/^\{[^\n]*\}\n$/)
  expect(stderr).toBe('')
  const report: {
    account: string
    isWell: boolean
    checks: { name: string; status: string; detail: string; fix?: string }[]
  } = JSON.parse(stdout)
  return report
}

/** Every row of our tables, with the transaction that wrote it. */
async function contentOf({ sql }: TestDatabase) {
  const tables = ['batch_jobs', 'batch_job_events', 'sync_runs', 'rejected_jobs', 'sync_state', 'daily_totals']
  return Promise.all(
    tables.map((table) => sql(`SELECT t.xmin::text, t::text AS row FROM spidra.${table} t ORDER BY 2`)),
  )
}

test('all checks are ok after a sync, with one request, and nothing is changed', async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 60, key: API_KEY, arrivalsPerMinute: 0 })
  await sync(api, database)
  const [content, requests] = [await contentOf(database), api.requestCount]

  const { code, account, isWell, checks } = await doctor(envOf(api, database))

  expect(Object.keys(checks)).toEqual(NAMES)
  expect(Object.values(checks).filter(({ status }) => status !== 'ok')).toEqual([])
  expect({ code, account, isWell }).toEqual({ code: 0, account: 'default', isWell: true })
  expect(api.requestCount - requests).toBe(1)
  expect(await contentOf(database)).toEqual(content)
  expect(checks.key?.detail).toContain('60 jobs')
  expect(checks['rate limit']?.detail).toMatch(/^\d+ of 300 requests are left/)
})

test('an unmigrated database and no key: makes the checks that it can, and migrates nothing', async () => {
  await using database = await createCliDatabase()
  await using api = await fakeSpidra([reply(401, { status: 'error', message: 'Missing x-api-key header' })])

  const { code, checks } = await doctor({ ...envOf(api, database), SPIDRA_API_KEY: undefined })

  expect(code).toBe(1)
  expect(checks.configuration).toMatchObject({ status: 'fail', detail: expect.stringContaining('SPIDRA_API_KEY') })
  expect(checks).toMatchObject({ api: { status: 'ok' }, key: { status: 'skip' }, 'api clock': { status: 'ok' } })
  expect(checks).toMatchObject({ database: { status: 'ok' }, rights: { status: 'ok' } })
  expect(checks.migrations).toMatchObject({ status: 'warn', fix: expect.stringContaining('spidra-sync migrate') })
  expect(checks).toMatchObject({ lock: { status: 'skip' }, disk: { status: 'skip' } })
  expect(await database.sql("SELECT to_regnamespace('spidra') AS made")).toEqual([{ made: null }])
})

test('names the encoding of a database that is not UTF-8, and how to create one that is', async () => {
  await using database = await createCliDatabase({ encoding: 'LATIN1' })

  const { code, checks } = await doctor(envOf(null, database))

  expect(code).toBe(1)
  expect(checks.database).toMatchObject({
    status: 'fail',
    detail: expect.stringContaining('Its encoding is LATIN1, which cannot store every character.'),
    fix: expect.stringMatching(/^Create one with `CREATE DATABASE \.\.\. ENCODING 'UTF8'/),
  })
})

test('API and database unreachable: both fail, the rest is skipped, and the exit code is 1', async () => {
  const { code, checks } = await doctor(envOf(null, { url: 'postgres://somebody:secret-of-mine@127.0.0.1:9/db' }))

  expect(code).toBe(1)
  expect(Object.keys(checks)).toEqual(NAMES)
  expect(checks.api).toMatchObject({ status: 'fail', detail: expect.stringContaining('ECONNREFUSED') })
  expect(checks.database).toMatchObject({
    status: 'fail',
    detail: expect.stringMatching(/Cannot reach .*DATABASE_URL/),
  })
  expect(checks).toMatchObject({ node: { status: 'ok' }, configuration: { status: 'ok' }, disk: { status: 'skip' } })
})

test('names every bad variable, and continues with the good ones', async () => {
  await using database = await createCliDatabase()

  const { code, checks } = await doctor({
    ...envOf(null, database),
    SPIDRA_API_URL: 'ftp://nowhere',
    HISTORY_DAYS: 'a-while',
    SYNC_SCHEDUL: 'off',
  })

  expect(code).toBe(1)
  expect(checks.configuration?.detail).toMatch(/SPIDRA_API_URL .*HISTORY_DAYS .*SYNC_SCHEDUL is ignored/)
  expect(checks).toMatchObject({ api: { status: 'skip' }, database: { status: 'ok' } })
})

test('an unusable DATABASE_URL does not count as unset', async () => {
  const { checks } = await doctor({ ...envOf(null, null), DATABASE_URL: 'mysql://me:a-password-to-hide@host/db' })

  expect(checks.configuration).toMatchObject({ status: 'fail', detail: expect.stringContaining('DATABASE_URL must') })
  expect(checks.database).toMatchObject({ status: 'skip', detail: 'DATABASE_URL is missing or cannot be used.' })
})

test('without DATABASE_URL it creates no embedded Postgres, and checks an existing one', {
  timeout: 60_000,
}, async () => {
  await using folder = await createFolder()
  const env = envOf(null, null)

  const before = await doctor(env, folder.path)
  await expect(access(join(folder.path, '.spidra-sync'))).rejects.toThrow()
  await runCli(['migrate'], { env, cwd: folder.path })
  const after = await doctor(env, folder.path)

  expect(before.checks.database).toMatchObject({ status: 'skip' })
  expect(after.checks.database).toMatchObject({ status: 'ok', detail: expect.stringContaining('embedded') })
  expect(after.checks.migrations).toMatchObject({ status: 'ok' })
})

test('a 403 fails the key and not the API, and its message is shown once, also after a run with the same error', async () => {
  await using database = await createCliDatabase()
  await using api = await fakeSpidra([reply(403, { status: 'error', message: 'Invalid API key' })])
  const env = envOf(api, database)
  await runCli(['sync'], { env })

  const { code, checks } = await doctor(env)

  expect(code).toBe(1)
  expect(checks.api?.status).toBe('ok')
  expect(checks.key).toMatchObject({ status: 'fail', detail: expect.stringMatching(/SPIDRA_API_KEY.*credits/) })
  expect(checks.runs).toMatchObject({ status: 'warn', detail: expect.stringMatching(/failed \(forbidden\)\.$/) })
  expect(api.requests).toHaveLength(1 + 1)
})

test('reports the age of an answer from a cache', async () => {
  await using api = await fakeSpidra([emptyList({ age: '55' })])

  const { checks } = await doctor(envOf(api, null))

  expect(checks.api).toMatchObject({ status: 'warn', detail: expect.stringContaining('from a cache, 55 s old') })
})

test.each([
  { hours: 1, says: 'behind the API' },
  { hours: -1, says: 'ahead of the API' },
])('reports a clock that is $says', async ({ hours, says }) => {
  const date = new Date(Date.now() + hours * 3_600_000).toUTCString()
  await using api = await fakeSpidra([emptyList({ date })])

  const { checks } = await doctor(envOf(api, null))

  expect(checks['api clock']).toMatchObject({ status: 'warn', detail: expect.stringContaining(says) })
  expect(checks['api clock']?.detail).toMatch(/ (59 min \d+ s|1 h) /)
})

test('the text has no line over 80 columns, and no colour outside a terminal', async () => {
  const { stdout, code } = await runCli(['doctor'], { env: envOf(null, null) })

  expect(code).toBe(1)
  expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
  expect(stdout).not.toContain('\u001b')
  expect(stdout).toMatch(/^ok {4}node {12}Node \d/)
  expect(stdout).toMatch(/\n16 checks: \d+ ok, \d+ to check, 1 failed, \d+ skipped\.\n$/)
})

test('on a terminal it is coloured, unless NO_COLOR is set', async () => {
  const show = async (env: Readonly<Record<string, string>>) => {
    const cli = await startOnTerminal(['doctor'], { env: { ...envOf(null, null), ...env } })
    onTestFinished(() => cli[Symbol.asyncDispose]())
    return (await cli.ended).stdout
  }
  const [coloured, plain] = [await show({}), await show({ NO_COLOR: '1' })]

  expect(coloured).toContain('\u001b[31mfail')
  expect(plain).not.toContain('\u001b')
  const noTimes = (text: string) => toScreen(text, 80).map((line) => line.replace(/\d+ ms/, 'ms'))
  expect(noTimes(coloured)).toEqual(noTimes(plain))
})
