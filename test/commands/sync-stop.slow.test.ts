import { createServer, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { migrate } from '../../src/db/migrate.js'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'
import { hold, untilBlocked } from '../support/blocking.js'
import { API_KEY, AT_ONCE_MS, type CliProcess, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { syncInProcess } from '../support/cli-sync.js'
import type { TestDatabase } from '../support/test-database.js'

const JOBS = 700

/** The key that Prisma's CLI locks too while it migrates. */
const MIGRATION_LOCK = 72707369

/** Lists jobs at some pace, and lets the test do something in the middle. */
function simulate(options: SimulatorOptions = {}): Promise<Simulator> {
  return startSimulator({ jobs: JOBS, key: API_KEY, rateLimit: 'off', ...options })
}

const envOf = (api: { readonly url: string }, database: { readonly url: string }) => ({
  SPIDRA_API_KEY: API_KEY,
  SPIDRA_API_URL: api.url,
  DATABASE_URL: database.url,
})

/** Lets the process work until the simulator is asked for the nth time, which it never answers. Tells what it took then. */
async function stopAtRequest(n: number, database: TestDatabase, stop: (cli: CliProcess) => void) {
  let cli: CliProcess | undefined
  let stoppedAt = Number.NaN
  await using api = await simulate({
    beforeAnswer: async ({ number }) => {
      if (number < n || cli === undefined) return
      stop(cli)
      stoppedAt = performance.now()
      await cli.ended
    },
  })
  cli = await startCli(['sync', '--json'], { env: envOf(api, database) })
  await using process = cli
  const result = await process.ended
  return { ...result, tookMs: performance.now() - stoppedAt }
}

const runs = (database: TestDatabase) => database.sql('SELECT status, error_code FROM spidra.sync_runs ORDER BY id')

describe('a signal', () => {
  test.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const)('%s aborts the run, records it, and ends with %i', async (signal, exitCode) => {
    await using database = await createCliDatabase()

    const { code, stdout, stderr, tookMs } = await stopAtRequest(4, database, (cli) => cli.kill(signal))

    expect(code, stderr).toBe(exitCode)
    expect(tookMs).toBeLessThan(AT_ONCE_MS)
    expect(JSON.parse(stdout)).toMatchObject({ status: 'aborted', reason: 'The worker was asked to stop' })
    expect(await runs(database)).toEqual([{ status: 'aborted', error_code: 'stopped' }])
  })

  test('ends a wait that the API asked for at once', async () => {
    await using database = await createCliDatabase()
    await using api = await simulate({ faults: { rates: { http429: 1 }, retryAfterSeconds: 600 } })
    await using cli = await startCli(['sync'], { env: { ...envOf(api, database), LOG_LEVEL: 'trace' } })
    await cli.says(/request will be tried again|waiting for the request budget/)

    const signalledAt = performance.now()
    cli.kill('SIGTERM')

    expect(await cli.ended).toMatchObject({ code: 143, stdout: expect.stringMatching(/^Aborted: /) })
    expect(performance.now() - signalledAt).toBeLessThan(AT_ONCE_MS)
  })

  test('ends the wait for another process that migrates', async () => {
    await using database = await createCliDatabase()
    await using api = await simulate()
    await using _lock = await hold(database, `SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`)
    await using cli = await startCli(['sync'], { env: envOf(api, database) })
    await untilBlocked(database)

    cli.kill('SIGTERM')

    expect(await cli.ended).toMatchObject({ code: 143, stdout: '' })
    expect(api.requestCount).toBe(0)
  })

  test('ends the wait for a database that accepts connections and says nothing', async () => {
    const sockets: Socket[] = []
    const server = createServer((socket) => sockets.push(socket.on('error', () => undefined)))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const connected = new Promise((resolve) => server.once('connection', resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const env = { SPIDRA_API_KEY: API_KEY, DATABASE_URL: `postgres://u:p@127.0.0.1:${address.port}/d` }
    await using cli = await startCli(['sync'], { env })
    await connected

    const signalledAt = performance.now()
    cli.kill('SIGTERM')

    expect((await cli.ended).code).toBe(143)
    expect(performance.now() - signalledAt).toBeLessThan(AT_ONCE_MS)
    for (const socket of sockets) socket.destroy()
    server.close()
  })

  test('waits for the statement in hand, and a second one does not', async () => {
    await using database = await createCliDatabase()
    await using api = await simulate()
    await migrate(database.url)
    await using lock = await hold(database, 'LOCK TABLE spidra.batch_jobs IN ACCESS EXCLUSIVE MODE')
    await using cli = await startCli(['sync', '--json'], { env: envOf(api, database) })
    await untilBlocked(database)

    const signalling = setInterval(() => cli.kill('SIGTERM'), 100)
    const { code, stdout } = await cli.ended.finally(() => clearInterval(signalling))

    expect([code, stdout]).toEqual([143, ''])
    expect(await runs(database)).toEqual([{ status: 'running', error_code: null }])
    await lock.release()
  })

  test('waits for the statement in hand no longer than SHUTDOWN_GRACE_MS', async () => {
    await using database = await createCliDatabase()
    await using api = await simulate()
    await migrate(database.url)
    await using _lock = await hold(database, 'LOCK TABLE spidra.batch_jobs IN ACCESS EXCLUSIVE MODE')
    await using cli = await startCli(['sync'], { env: { ...envOf(api, database), SHUTDOWN_GRACE_MS: '300' } })
    await untilBlocked(database)

    const signalledAt = performance.now()
    cli.kill('SIGTERM')

    expect((await cli.ended).code).toBe(143)
    expect(performance.now() - signalledAt).toBeGreaterThan(290)
    expect(performance.now() - signalledAt).toBeLessThan(AT_ONCE_MS)
  })
})

describe('kill -9', () => {
  // 700 jobs are 14 pages, merged as they come; the 15th request reads the head again.
  test.each([1, 2, 9, 14, 15])('at request %i: the next run is complete and nothing is lost', async (n) => {
    await using database = await createCliDatabase()
    await using api = await simulate()

    const killed = await stopAtRequest(n, database, (cli) => cli.kill('SIGKILL'))
    expect(killed.signal).toBe('SIGKILL')
    const next = await syncInProcess(envOf(api, database))

    expect(next.code, next.stdout).toBe(0)
    expect(JSON.parse(next.stdout)).toMatchObject({ status: 'complete', listedTotal: JOBS, storedTotal: JOBS })
    expect(await runs(database)).toEqual([
      { status: 'aborted', error_code: 'worker_lost' },
      { status: 'complete', error_code: null },
    ])
    expect(await uuids(database)).toEqual([...api.account.allUuids()].sort())
  })

  test('while a merge waits in the database: the next run goes on after it', async () => {
    await using database = await createCliDatabase()
    await using api = await simulate()
    const env = envOf(api, database)
    await migrate(database.url)
    const lock = await hold(database, 'LOCK TABLE spidra.batch_jobs IN ACCESS EXCLUSIVE MODE')
    await using killed = await startCli(['sync'], { env })
    await untilBlocked(database)
    killed.kill('SIGKILL')
    await killed.ended

    await using next = await startCli(['sync', '--json'], { env })
    await lock.release()

    const { code, stdout, stderr } = await next.ended
    expect(code, stderr).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ status: 'complete', listedTotal: JOBS, storedTotal: JOBS })
    expect(await runs(database)).toMatchObject([{ status: 'aborted' }, { status: 'complete' }])
    expect(await uuids(database)).toEqual([...api.account.allUuids()].sort())
  })
})

async function uuids(database: TestDatabase): Promise<string[]> {
  const rows = await database.sql<{ uuid: string }>('SELECT uuid FROM spidra.batch_jobs WHERE removed_at IS NULL')
  return rows.map((row) => row.uuid).sort()
}
