import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { migrate } from '../../src/db/migrate.js'
import type { Simulator } from '../../src/simulator/server.js'
import { openTransaction, untilBlocked } from '../support/blocking.js'
import { AT_ONCE_MS, type CliProcess, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { syncInProcess } from '../support/cli-sync.js'
import { PATIENCE, runsOf, serviceEnv, simulateFor, untilNoLocks } from '../support/service.js'
import type { TestDatabase } from '../support/test-database.js'

const ABORTED = [{ status: 'aborted', error_code: 'stopped' }]

interface Scene {
  readonly api: Simulator
  readonly database: TestDatabase
  start(env?: Readonly<Record<string, string>>): Promise<CliProcess>
}

/** A way for a service into a phase, and what ends it after the signal if something must. */
type Reach = (scene: Scene) => Promise<{ readonly service: CliProcess; end?(): Promise<unknown> }>

const untilRequests = ({ api }: Scene, count: number) =>
  expect.poll(() => api.requestCount, PATIENCE).toBeGreaterThanOrEqual(count)

/** Locks the table in mid-run, so that a merge waits; letting go takes the lock away. */
const inMerge: Reach = async (scene) => {
  await migrate(scene.database.url)
  const lock = await openTransaction(scene.database)
  // Reads may go on: only what writes waits.
  await lock.query('LOCK TABLE spidra.batch_jobs IN SHARE MODE')
  const service = await scene.start()
  await untilBlocked(scene.database, 1)
  return { service, end: () => lock[Symbol.asyncDispose]() }
}

/** Begins to create what the first migration creates, so that its statement waits. */
const inMigration: Reach = async (scene) => {
  const other = await openTransaction(scene.database)
  await other.query('CREATE SCHEMA spidra')
  const service = await scene.start()
  await untilBlocked(scene.database, 1)
  return { service, end: () => other[Symbol.asyncDispose]() }
}

/** What the service is doing, how it gets there, and its run records afterwards; none where it never came so far. */
const PHASES: readonly (readonly [phase: string, reach: Reach, runs: readonly unknown[]])[] = [
  [
    'waiting for its own request budget',
    async (scene) => {
      const service = await scene.start({ RATE_LIMIT_REQUESTS: '2', RATE_LIMIT_RESERVE: '0' })
      await service.says(/waiting for the request budget/)
      return { service }
    },
    ABORTED,
  ],
  [
    'waiting as the API asked for',
    async (scene) => {
      scene.api.faults.next('http503', { times: 100 })
      const service = await scene.start({ LOG_LEVEL: 'debug' })
      await service.says(/request will be tried again/)
      return { service }
    },
    ABORTED,
  ],
  [
    'in a backoff',
    async (scene) => {
      scene.api.faults.next('dropped', { times: 100 })
      const service = await scene.start({ LOG_LEVEL: 'debug', RETRY_BASE_MS: '60000' })
      await service.says(/request will be tried again/)
      return { service }
    },
    ABORTED,
  ],
  [
    'in a request that is never answered',
    async (scene) => {
      scene.api.faults.next('hang', { page: 2 })
      const service = await scene.start()
      await untilRequests(scene, 2)
      return { service }
    },
    ABORTED,
  ],
  [
    'in a body that never ends',
    async (scene) => {
      scene.api.faults.next('slowBody', { page: 2 })
      const service = await scene.start()
      await untilRequests(scene, 2)
      return { service }
    },
    ABORTED,
  ],
  ['in a migration whose statement waits', inMigration, []],
  [
    'before the database has said a word',
    async ({ start }) => {
      const silent = createServer((socket) => socket.on('error', () => undefined))
      const sockets = new Set<Socket>()
      silent.on('connection', (socket) => sockets.add(socket))
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
      const address = silent.address()
      if (address === null || typeof address === 'string') throw new Error('no port')
      const connected = once(silent, 'connection')
      const service = await start({ DATABASE_URL: `postgres://u:p@127.0.0.1:${address.port}/d` })
      await connected
      return {
        service,
        async end() {
          for (const socket of sockets) socket.destroy()
          silent.close()
        },
      }
    },
    [],
  ],
  [
    'while HTTP clients keep their connections, one of them in the middle of a request',
    async ({ start }) => {
      const service = await start({ HTTP_PORT: '0' })
      const [, url] = await service.says(/"url":"(http:[^"]+)"/)
      await service.says(/"msg":"run finished"/)
      const { hostname, port } = new URL(url ?? '')
      const sockets = ['', 'GET /healthz HTTP/1.1\r\nHost: ', 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'].map(
        (text) => {
          const socket = connect(Number(port), hostname).on('error', () => undefined)
          socket.write(text)
          return socket
        },
      )
      await Promise.all(sockets.slice(2).map((socket) => once(socket, 'data')))
      return { service, end: async () => void sockets.forEach((socket) => void socket.destroy()) }
    },
    [{ status: 'complete', error_code: null }],
  ],
]

async function createScene() {
  const database = await createCliDatabase()
  const api = await simulateFor({ jobs: 700, faults: { slowBodyMs: 600_000, retryAfterSeconds: 600 } })
  const started: CliProcess[] = []
  const scene: Scene = {
    api,
    database,
    async start(env = {}) {
      const service = await startCli(['start'], { env: { ...serviceEnv(api, database), ...env } })
      started.push(service)
      return service
    },
  }
  return {
    ...scene,
    async [Symbol.asyncDispose]() {
      for (const part of [...started, api, database]) await part[Symbol.asyncDispose]()
    },
  }
}

async function signal(service: CliProcess, name: NodeJS.Signals) {
  const signalledAt = performance.now()
  service.kill(name)
  const result = await service.ended
  return { ...result, tookMs: performance.now() - signalledAt }
}

describe('SIGTERM and SIGINT', () => {
  // Each phase has its signal in turn; what they do differs in the exit code of a second one only.
  const rows = PHASES.map(
    ([phase, reach, runs], index) => [phase, index % 2 === 0 ? 'SIGTERM' : 'SIGINT', reach, runs] as const,
  )

  test.each(rows)('%s, %s: ends at once with 0, and leaves everything in order', async (_, name, reach, runs) => {
    await using scene = await createScene()
    const { service, end } = await reach(scene)

    const { code, stdout, stderr, tookMs } = await signal(service, name)

    expect([code, stderr]).toEqual([0, ''])
    expect(tookMs).toBeLessThan(AT_ONCE_MS)
    if (runs.length > 0) {
      expect(stdout).toMatch(/"msg":"service stopped"\}\n$/)
      expect(await runsOf(scene.database)).toEqual(runs)
    }
    await end?.()
    await untilNoLocks(scene.database)
    // Whatever it was, the next one has nothing to wait for.
    scene.api.faults.clear()
    const next = await syncInProcess(serviceEnv(scene.api, scene.database))
    expect(JSON.parse(next.stdout)).toMatchObject({ status: 'complete', storedTotal: 700 })
  })
})

describe('stopped in a merge', () => {
  test('by SIGTERM: finishes the statement in hand, records the run as aborted, and ends with 0', async () => {
    await using scene = await createScene()
    const { service, end } = await inMerge(scene)

    service.kill('SIGTERM')
    await service.says(/"msg":"service stopping"/)
    await end?.()

    expect(await service.ended).toMatchObject({ code: 0, stderr: '' })
    expect(await runsOf(scene.database)).toEqual(ABORTED)
    // It was in hand, so it counts.
    const [row] = await scene.database.sql('SELECT count(*)::integer AS jobs FROM spidra.batch_jobs')
    expect(row?.jobs).toBeGreaterThan(0)
  })

  test('by a second signal: ends at once with 143, and the next run closes the record', async () => {
    await using scene = await createScene()
    const { service, end } = await inMerge(scene)

    service.kill('SIGTERM')
    await service.says(/"msg":"service stopping"/)
    // Within a moment two signals are one, as npm passes on what the terminal has sent already.
    const again = setInterval(() => service.kill('SIGTERM'), 100)
    const signalledAt = performance.now()
    const { code } = await service.ended.finally(() => clearInterval(again))

    expect(code).toBe(143)
    expect(performance.now() - signalledAt).toBeLessThan(AT_ONCE_MS)
    await end?.()
    await closesRecord(scene)
  })

  test('longer than SHUTDOWN_GRACE_MS: ends with 143 when the grace is over, and the next run closes the record', async () => {
    await using scene = await createScene()
    const { service, end } = await inMerge({ ...scene, start: () => scene.start({ SHUTDOWN_GRACE_MS: '500' }) })

    const { code, tookMs } = await signal(service, 'SIGTERM')

    expect(code).toBe(143)
    expect(tookMs).toBeGreaterThan(490)
    expect(tookMs).toBeLessThan(AT_ONCE_MS)
    await end?.()
    await closesRecord(scene)
  })
})

test('a migration that was cut off leaves nothing of it, and the next start migrates', async () => {
  await using scene = await createScene()
  const { service, end } = await inMigration(scene)
  await signal(service, 'SIGTERM')
  await end?.()

  expect(await scene.database.sql("SELECT to_regnamespace('spidra') AS schema")).toEqual([{ schema: null }])
  await using next = await scene.start()
  await next.says(/"status":"complete"/)
})

/** The killed one's record is closed, and its lock is free: the next run is complete. */
async function closesRecord({ api, database }: Scene): Promise<void> {
  const next = await syncInProcess(serviceEnv(api, database))
  expect(JSON.parse(next.stdout)).toMatchObject({ status: 'complete', storedTotal: 700 })
  expect(await runsOf(database)).toEqual([
    { status: 'aborted', error_code: 'worker_lost' },
    { status: 'complete', error_code: null },
  ])
}
