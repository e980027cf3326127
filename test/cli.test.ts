import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import manifest from '../package.json' with { type: 'json' }
import { startSimulator } from '../src/simulator/server.js'
import { API_KEY, CLI, createFolder, DATABASE_PASSWORD, runCli, startCli, startProcess } from './support/cli.js'
import { createCliDatabase } from './support/cli-database.js'
import { loadedModules } from './support/loaded-modules.js'
import { startOnTerminal } from './support/terminal.js'
import type { TestDatabase } from './support/test-database.js'

const COMMANDS = [
  'start',
  'sync',
  'plan',
  'verify',
  'status',
  'report',
  'doctor',
  'psql',
  'migrate',
  'grant-reader',
  'demo',
  'simulate',
  'completion',
]

/** The longest line of a text. */
const widthOf = (text: string) => Math.max(...text.split('\n').map((line) => line.length))

describe('help', () => {
  test('lists every command, in lines of 80 columns', async () => {
    const { code, stdout, stderr } = await runCli(['--help'])

    expect([code, stderr]).toEqual([0, ''])
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'))
    expect(widthOf(stdout), stdout).toBeLessThanOrEqual(80)
  })

  test.each(COMMANDS)('of %s takes no more than 80 columns either, and ends with examples', async (command) => {
    const { code, stdout, stderr } = await runCli([command, '--help'])

    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain('--account <name>')
    expect(stdout).toMatch(new RegExp(`\\nExamples:\\n( {2}spidra-sync ${command}.*\\n)+$`))
    expect(widthOf(stdout), stdout).toBeLessThanOrEqual(80)
  })

  test('--version prints the version of the package', async () => {
    expect(await runCli(['--version'])).toMatchObject({ code: 0, stdout: `${manifest.version}\n`, stderr: '' })
  })
})

describe('an unusable command line or configuration ends with 2, and the message names the cause', () => {
  test.each([
    [['fetch'], /unknown command 'fetch'/],
    [['sync', '--fast'], /unknown option '--fast'.*\n\nUsage: spidra-sync sync /],
    [['sync', 'everything'], /too many arguments.*\n\nUsage: spidra-sync sync /],
    [['sync', '--accept-removals'], /--accept-removals needs --full\.\n\nUsage: spidra-sync sync /],
    [['simulate', '--speed', 'fast'], /--speed must be a number .* not "fast"\n\nUsage: spidra-sync simulate /],
    [['demo', '--account', 'a'], /demo takes no --account: .*\n\nUsage: spidra-sync demo /],
    [['simulate', '--faults', 'http418:1'], /--faults knows no kind "http418"/],
    [['sync', '--account', ''], /--account.*must not be empty/],
    [[], /^Usage: spidra-sync/],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await runCli(args, { env: { SPIDRA_API_KEY: API_KEY } })

    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(message)
  })

  test('all bad variables at once, without their values', async () => {
    const bad = {
      ...{ SPIDRA_API_URL: 'ftp://secret-1', DATABASE_URL: 'mysql://secret-2', SYNC_SCHEDULE: 'secret-3' },
      ...{ REQUEST_TIMEOUT_MS: '-4', LOG_LEVEL: 'secret-5', SPIDRA_AUTH_SCHEME: 'secret-6', HTTP_PORT: 'secret-7' },
    }

    const { code, stdout, stderr } = await runCli(['sync'], { env: bad })

    expect([code, stdout]).toEqual([2, ''])
    for (const name of [...Object.keys(bad), 'SPIDRA_API_KEY']) expect(stderr).toMatch(new RegExp(`^${name} `, 'm'))
    expect(stderr).not.toMatch(/secret|-4/)
  })

  test.each(['start', 'sync', 'status', 'migrate'])('%s in production without DATABASE_URL', async (command) => {
    const { code, stderr } = await runCli([command], { env: { SPIDRA_API_KEY: API_KEY, NODE_ENV: 'production' } })

    expect(code).toBe(2)
    expect(stderr).toMatch(/^DATABASE_URL is required when NODE_ENV=production/m)
  })
})

test('a message is wrapped between words on a terminal, and is one line in a pipe', async () => {
  await using terminal = await startOnTerminal(['status'], {})
  const { stdout } = await terminal.ended
  const { stderr } = await runCli(['status'])

  const shown = stdout.replaceAll('\r', '').trimEnd().split('\n')
  expect(shown.length).toBeGreaterThan(2)
  // No terminal breaks a path, so it may be longer than a line.
  expect(widthOf(shown.filter((line) => line.includes(' ')).join('\n'))).toBeLessThanOrEqual(80)
  expect(stderr).toMatch(/^spidra-sync: There is no database yet: [^\n]+\n$/)
})

describe('.env', () => {
  test('is read in the working directory, and the environment overrides it', async () => {
    await using folder = await createFolder()
    await writeFile(join(folder.path, '.env'), 'LOG_LEVEL=nonsense\nPAGES_PER_RUN=none\n')

    const { code, stderr } = await runCli(['sync'], {
      cwd: folder.path,
      env: { SPIDRA_API_KEY: API_KEY, LOG_LEVEL: 'info' },
    })

    expect(code).toBe(2)
    expect(stderr).toContain('PAGES_PER_RUN must be')
    expect(stderr).not.toContain('LOG_LEVEL')
  })

  /** What `sync` says of its error in a folder with this `.env`. */
  async function errorOf(envFile: string, env: Readonly<Record<string, string>> = {}) {
    await using folder = await createFolder()
    await writeFile(join(folder.path, '.env'), envFile)
    return await runCli(['sync'], { cwd: folder.path, env: { SPIDRA_API_KEY: API_KEY, ...env } })
  }
  const STACK = /^ {4}at /m
  const UNREACHABLE = 'DATABASE_URL=postgres://nobody:none@127.0.0.1:9/none\n'

  test('LOG_LEVEL=debug in it shows the stack of an error, and the environment overrides it', async () => {
    const fromFile = await errorOf(`${UNREACHABLE}LOG_LEVEL=debug\n`)
    const overruled = await errorOf(`${UNREACHABLE}LOG_LEVEL=debug\n`, { LOG_LEVEL: 'info' })

    expect(fromFile).toMatchObject({ code: 1, stderr: expect.stringMatching(/^spidra-sync: DatabaseError: /m) })
    expect(fromFile.stderr).toMatch(STACK)
    expect(overruled).toMatchObject({ code: 1, stderr: expect.stringMatching(/^spidra-sync: Cannot reach /m) })
    expect(overruled.stderr).not.toMatch(STACK)
  })

  test('LOG_LEVEL=debug in it shows the stack also for an invalid configuration', async () => {
    const { code, stderr } = await errorOf('LOG_LEVEL=debug\nPAGES_PER_RUN=none\n')

    expect(code).toBe(2)
    expect(stderr).toMatch(/PAGES_PER_RUN must be/)
    expect(stderr).toMatch(STACK)
  })

  test('that is not a file ends with 2, and one line with the error', async () => {
    await using folder = await createFolder()
    await mkdir(join(folder.path, '.env'))

    const { code, stderr } = await runCli(['sync'], { cwd: folder.path, env: { SPIDRA_API_KEY: API_KEY } })

    expect([code, stderr]).toEqual([
      2,
      'spidra-sync: the configuration cannot be used:\n.env cannot be read (EISDIR)\n',
    ])
  })
})

describe('an unusable database ends with 1, and one line that says what is wrong and where', () => {
  /** The same database under another address, password or name. */
  const elsewhere = (database: TestDatabase, change: Partial<URL>) => ({
    DATABASE_URL: Object.assign(new URL(database.url), change).href,
    SPIDRA_API_KEY: API_KEY,
    HTTP_PORT: '0',
  })

  test.each(['sync', 'status', 'migrate', 'start'])('%s', async (command) => {
    await using database = await createCliDatabase()
    const { host } = new URL(database.url)

    const results = await Promise.all([
      runCli([command], { env: elsewhere(database, { host: '127.0.0.1:9' }) }),
      runCli([command], { env: elsewhere(database, { password: `not-${DATABASE_PASSWORD}` }) }),
      runCli([command], { env: elsewhere(database, { pathname: '/nowhere' }) }),
    ])

    expect(results.map(({ code }) => code)).toEqual([1, 1, 1])
    const [unreachable = '', refused = '', missing = ''] = results.map(({ stderr }) => stderr)
    expect(unreachable).toMatch(/^spidra-sync: Cannot reach Postgres at 127\.0\.0\.1:9( \(ECONNREFUSED\))?: .+\n$/)
    expect(refused).toMatch(/^spidra-sync: .+ refuses user .+: check user and password in DATABASE_URL\.\n$/)
    expect(missing).toMatch(/^spidra-sync: .+ has no database "nowhere" .+\n$/)
    expect([refused, missing]).toEqual([expect.stringContaining(host), expect.stringContaining(host)])
  })

  test('shows the stack at LOG_LEVEL=debug', async () => {
    await using database = await createCliDatabase()

    const env = { ...elsewhere(database, { password: `not-${DATABASE_PASSWORD}` }), LOG_LEVEL: 'trace' }
    const { code, stderr } = await runCli(['sync'], { env })

    expect(code).toBe(1)
    expect(stderr).toMatch(/^spidra-sync: DatabaseError: .+\n {4}at /m)
  })
})

test('`simulate` serves any client, and ends with 0 on a signal', async () => {
  await using simulator = await startCli(['simulate', '--port', '0', '--jobs', '70', '--key', 'spd_other'])
  const [, url = ''] = await simulator.says(/ at (http:\S+) /)

  const response = await fetch(`${url}/batch/scrape?page=2`, { headers: { 'x-api-key': 'spd_other' } })
  expect(await response.json()).toMatchObject({ pagination: { page: 2, limit: 20, total: 70, totalPages: 4 } })

  simulator.kill('SIGTERM')
  expect(await simulator.ended).toMatchObject({ code: 0, stderr: '' })
})

test('a limit of open files that is too low ends it with 1, and one line that says so', async () => {
  await using program = await startProcess('sh', ['-c', 'ulimit -n 32; exec "$NODE" "$CLI" start'], {
    env: { NODE: process.execPath, CLI },
  })

  expect(await program.ended).toMatchObject({
    code: 1,
    stdout: '',
    stderr: 'spidra-sync: the limit of open files is 32, and at least 128 are needed: raise it (ulimit -n).\n',
  })
})

test('a reader that closes the pipe is no failure', async () => {
  await using database = await createCliDatabase()
  const env = { SPIDRA_API_KEY: API_KEY, DATABASE_URL: database.url, NODE: process.execPath, CLI }
  const pipe = (command: string) => startProcess('bash', ['-o', 'pipefail', '-c', `"$NODE" "$CLI" ${command}`], { env })

  for (const command of ['status | head -0', '--help | head -0', 'status --json | :']) {
    await using piped = await pipe(command)
    expect(await piped.ended, command).toMatchObject({ code: 0, stderr: '' })
  }
})

test('`sync` loads no module that only other commands need', async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 60, key: API_KEY, rateLimit: 'off' })
  await using folder = await createFolder()

  const { code } = await runCli(['sync', '--json'], {
    cwd: folder.path,
    env: {
      ...{ SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.url },
      // V8 notes every script that it ran.
      NODE_V8_COVERAGE: folder.path,
    },
  })

  expect(code).toBe(0)
  const modules = await loadedModules(folder.path)
  expect(modules).toContain('src/commands/sync.ts')
  expect(modules).toContain('node_modules/pg')
  const others = ['fastify', 'prom-client', 'table', 'pino-pretty', 'echarts']
  expect(modules.filter((name) => others.some((other) => name === `node_modules/${other}`))).toEqual([])
  expect(modules.filter((name) => /^src\/(simulator|http|report|worker|db\/embedded)/.test(name))).toEqual([])
})
