// Every way in which people install the program, by the commands that they type.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { API_KEY } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'

const run = promisify(execFile)

/** Several hundred packages from a registry, on a machine that does much else. */
const INSTALL_TIMEOUT_MS = 600_000

/** What a user's shell may hold, and no variable of this test run. */
const INHERITED = /^(PATH|HOME|NODE_EXTRA_CA_CERTS|(https?|no)_proxy|npm_config_(registry|cache|userconfig|cafile))$/i
const environment = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => INHERITED.test(name))),
  npm_config_prefer_offline: 'true',
  npm_config_audit: 'false',
  npm_config_fund: 'false',
}

type Env = Readonly<Record<string, string>>

/** Runs a line of shell, and gives all that it printed. Throws, with its output, when it fails. */
async function shell(cwd: string, line: string, env: Env = {}): Promise<string> {
  const options = { cwd, env: { ...environment, ...env }, maxBuffer: 2 ** 26 }
  const { stdout, stderr } = await run('sh', ['-c', line], options)
  return stdout + stderr
}

async function createFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'spidra-sync-installation-'))
  await chmod(path, 0o755) // for root: the embedded Postgres runs as another user, who has to pass
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 20 }) }
}

/** What `git clone` would give, with the changes that are not committed yet. */
async function createClone() {
  const folder = await createFolder()
  const { stdout } = await run('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'])
  for (const file of stdout.split('\0').filter(Boolean)) {
    await cp(file, join(folder.path, file)).catch((error) => {
      if (error.code !== 'ENOENT') throw error // deleted, and not committed yet
    })
  }
  return folder
}

/** `npm start` until its first run is complete, and Ctrl-C. */
async function expectStart(cwd: string, env: Env): Promise<void> {
  await using api = await startSimulator({ jobs: 120, key: API_KEY, rateLimit: 'off' })
  const variables = { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, HTTP_PORT: '0', SYNC_SCHEDULE: 'off' }
  const npm = spawn('npm', ['start'], { cwd, env: { ...environment, ...variables, ...env }, detached: true })
  // To the whole group, as a terminal does: npm hands no SIGTERM on to what it runs.
  const interrupt = () => npm.pid !== undefined && process.kill(-npm.pid, 'SIGINT')
  let output = ''
  for (const stream of [npm.stdout, npm.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text
      if (text.includes('"msg":"run finished"')) interrupt()
    })
  }
  const timer = setTimeout(interrupt, 60_000)
  await once(npm, 'close')
  clearTimeout(timer)

  expect(output).toMatch(/"status":"complete".*"msg":"run finished".*"msg":"service stopped"/s)
}

describe('in a fresh clone', () => {
  test('npm ci && npm run demo, npm test, npm start; and then what builds for production', {
    timeout: 2 * INSTALL_TIMEOUT_MS,
  }, async () => {
    await using clone = await createClone()
    await using database = await createCliDatabase()
    const production = { NODE_ENV: 'production', DATABASE_URL: database.url }

    // What a platform builds with begins with `npm ci --include=dev`. It would install the same as `npm ci` does here, which
    // takes half a minute, so it is only asked.
    const installed = await shell(clone.path, 'npm ci --include=dev --dry-run --ignore-scripts', production)
    expect(installed).toMatch(/^add vitest /m)
    const demo = await shell(clone.path, 'npm ci && npm run demo -- --once', {
      // No URL to most programs, but one to ours: a build must not read it.
      DATABASE_URL: 'postgres://ada@/jobs?host=/var/run/postgresql',
    })
    expect(demo).toMatch(/completed │ +\d+ │ +\d+/)
    expect(demo).toContain(/^added \d+ packages/m.exec(installed)?.[0])

    const suite = await shell(clone.path, 'npm test -- test/project/layers.test.ts')
    expect(suite).toMatch(/^Tests run on .*Test Files .*1 passed/ms)

    await expectStart(clone.path, {})

    await shell(clone.path, 'npm run build && npm prune --omit=dev', production)
    expect(await readdir(join(clone.path, 'node_modules'))).not.toContain('vitest')
    await expectStart(clone.path, production)
  })

  test('NODE_ENV=production npm ci && npm start', { timeout: INSTALL_TIMEOUT_MS }, async () => {
    await using clone = await createClone()
    await using database = await createCliDatabase()
    await shell(clone.path, 'npm ci', { NODE_ENV: 'production' })

    await expectStart(clone.path, { NODE_ENV: 'production', DATABASE_URL: database.url })
  })

  test('npm ci without the build tools says in one line what to do', { timeout: INSTALL_TIMEOUT_MS }, async () => {
    await using clone = await createClone()
    const output = await shell(clone.path, 'npm ci --omit=dev --omit=optional')

    expect(output).toMatch(
      /^dist\/ is not rebuilt, because prisma, typescript .*: npm ci --include=dev && npm run build$/m,
    )
  })
})

describe('from the package', () => {
  let consumer: string

  beforeAll(async () => {
    const folder = await createFolder()
    consumer = join(folder.path, 'consumer')
    await mkdir(consumer)
    // Without `prepare`, which would build dist/ anew under the feet of the other tests.
    const packed = await run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', folder.path])
    await shell(consumer, `npm install ${join(folder.path, packed.stdout.trim())}`)
    return () => folder[Symbol.asyncDispose]()
  }, INSTALL_TIMEOUT_MS)

  test('npx spidra-sync --help', async () => {
    // `--no` keeps npx from fetching a package of that name.
    expect(await shell(consumer, 'npx --no -- spidra-sync --help')).toMatch(/^Usage: spidra-sync/)
  })

  test('runs the demo', { timeout: 120_000 }, async () => {
    // Nothing of this machine may help.
    const env = { PATH: process.env.PATH, HOME: consumer }
    const { stdout } = await run('npx', ['--no', '--', 'spidra-sync', 'demo', '--once'], { cwd: consumer, env })

    expect(stdout).toMatch(/A simulated Spidra account of [\d,]+ jobs/)
    expect(stdout).toMatch(/completed │ +\d+ │ +\d+/)
  })

  test('brings along what runs, and nothing that builds or tests', async () => {
    const { dependencies, devDependencies } = JSON.parse(await readFile('package.json', 'utf8'))
    const lock = JSON.parse(await readFile(join(consumer, 'node_modules', '.package-lock.json'), 'utf8'))
    const names = Object.keys(lock.packages).map((path) => path.split('node_modules/').at(-1) ?? '')

    expect(names).toEqual(expect.arrayContaining(Object.keys(dependencies)))
    const shared = ['@types/node', '@types/pg', '@prisma/driver-adapter-utils']
    expect(names.filter((name) => name in devDependencies && !shared.includes(name))).toEqual([])
  })

  test('installs a tree without gaps or conflicts', async () => {
    // It ends with 1, and `shell` rejects, where a package is missing, unwanted or of a version that another refuses.
    expect(await shell(consumer, 'npm ls --all')).toContain('spidra-sync@')
  })

  test('holds the program, its migrations and its documents, and no source or test', async () => {
    const names = await readdir(join(consumer, 'node_modules', 'spidra-sync'))

    expect(names.filter((name) => name !== 'node_modules').sort()).toEqual(
      [
        '.env.example',
        'CHANGELOG.md',
        'LICENSE',
        'README.md',
        'dist',
        'dashboards',
        'docs',
        'package.json',
        'prisma',
      ].sort(),
    )
  })
})
