import { describe, expect, test } from 'vitest'
import { openDatabase } from '../../src/db/client.js'
import { databaseErrorCode } from '../../src/db/connection-error.js'
import { hold } from '../support/blocking.js'
import { runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { summaryOf, syncInProcess } from '../support/cli-sync.js'
import { completeAccounts, createFleet, overlaps } from '../support/fleet.js'
import {
  PGBOUNCER_NOTE,
  type PgBouncerOptions,
  SKIP_PGBOUNCER,
  startPgBouncer,
  startTraffic,
} from '../support/pgbouncer.js'
import { PATIENCE, runsOf, serviceEnv, simulateFor } from '../support/service.js'
import { createTestDatabase } from '../support/test-database.js'

/** The strictest: two statements in a row meet the same connection at most by chance. */
const IN_TURN: readonly [string, PgBouncerOptions] = [
  'pools by transaction, its connections in turn',
  { mode: 'transaction', poolSize: 5, isRoundRobin: true },
]

const PROXIES: readonly (readonly [string, PgBouncerOptions])[] = [
  ['pools by session', { mode: 'session', poolSize: 40 }],
  ['pools by transaction', { mode: 'transaction', poolSize: 3 }],
  IN_TURN,
]

describe.skipIf(SKIP_PGBOUNCER).each(PROXIES)(`behind PgBouncer that %s${PGBOUNCER_NOTE}`, (_, options) => {
  test('runs are complete, five at once leave one running, and none is skipped when they have ended', {
    timeout: 120_000,
  }, async () => {
    await using database = await createCliDatabase()
    await using proxy = await startPgBouncer(database.url, options)
    await using _traffic = await startTraffic(proxy.url, 3)
    await using api = await simulateFor({ jobs: 600, latencyMs: 30 })
    const env = serviceEnv(api, proxy)

    const first = await syncInProcess(env, { full: true })
    expect(JSON.parse(first.stdout)).toMatchObject({ status: 'complete', inserted: 600 })
    const five = await Promise.all(Array.from({ length: 5 }, () => runCli(['sync', '--json', '--full'], { env })))
    expect(five.map(summaryOf).filter(({ status }) => status === 'complete').length).toBeGreaterThanOrEqual(1)
    expect(await overlaps(database)).toEqual([])
    const last = await syncInProcess(env, { full: true })
    expect(JSON.parse(last.stdout)).toMatchObject({ status: 'complete', inserted: 0, updated: 0 })
  })

  test('a killed worker loses its account at once, a stopped one is aborted', { timeout: 120_000 }, async () => {
    await using database = await createCliDatabase()
    await using proxy = await startPgBouncer(database.url, options)
    let reach = () => {}
    const reached = new Promise<void>((resolve) => {
      reach = resolve
    })
    await using api = await simulateFor({
      jobs: 2_000,
      latencyMs: 20,
      beforeAnswer: ({ number }) => void (number === 20 && reach()),
    })
    const env = serviceEnv(api, proxy)
    await using killed = await startCli(['sync', '--json'], { env })
    await reached
    killed.kill('SIGKILL')
    await killed.ended

    await using stopped = await startCli(['start'], { env })
    await expect
      .poll(async () => (await runsOf(database)).map(({ status }) => status), PATIENCE)
      .toEqual(['aborted', 'running'])
    stopped.kill('SIGTERM')
    expect(await stopped.ended).toMatchObject({ code: 0 })
    expect((await runsOf(database)).map(({ error_code }) => error_code)).toEqual(['worker_lost', 'stopped'])
    const next = await syncInProcess(env)
    expect(JSON.parse(next.stdout)).toMatchObject({ status: 'complete', storedTotal: 2_000 })
  })

  test('a statement that waits for a lock is cancelled on the server, and PgBouncer lives on', async () => {
    await using database = await createTestDatabase()
    await using proxy = await startPgBouncer(database.url, options)
    await using _lock = await hold(database, 'LOCK TABLE spidra.batch_jobs IN ACCESS EXCLUSIVE MODE')
    const db = openDatabase(proxy.url, { deadlineMs: 500 })
    for (const counts of [1, 2, 2]) {
      const errors = await Promise.all(
        Array.from({ length: counts }, () =>
          db.batchJob.count().then(
            () => null,
            (error: unknown) => databaseErrorCode(error),
          ),
        ),
      )
      expect(errors).toEqual(Array.from({ length: counts }, () => 'no_answer'))
      await expect
        .poll(() =>
          database.sql(`SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'spidra.batch_jobs'::regclass`),
        )
        .toEqual([])
      expect(await db.$queryRaw`SELECT 1 AS one`).toEqual([{ one: 1 }])
    }
    await db.$disconnect()
  })

  test('a fleet of two workers completes every account, and none runs twice at a time', {
    timeout: 120_000,
  }, async () => {
    await using database = await createCliDatabase()
    await using proxy = await startPgBouncer(database.url, options)
    await using api = await simulateFor({ jobs: 100, accounts: 5 })
    await using fleet = await createFleet(api, proxy, { RATE_LIMIT_REQUESTS: 'off' })
    await fleet.startScheduler()
    await Promise.all([fleet.startWorker(2), fleet.startWorker(3)])

    await expect.poll(() => completeAccounts(database), { timeout: 60_000 }).toBe(5)
    expect(await overlaps(database)).toEqual([])
    for (const started of fleet.processes) started.kill('SIGTERM')
    expect((await Promise.all(fleet.processes.map(({ ended }) => ended))).map(({ code }) => code)).toEqual([0, 0, 0])
  })
})

describe.skipIf(SKIP_PGBOUNCER)(`behind PgBouncer that ${IN_TURN[0]}${PGBOUNCER_NOTE}`, () => {
  test('verify, status, doctor and report work', async () => {
    await using database = await createCliDatabase()
    await using proxy = await startPgBouncer(database.url, IN_TURN[1])
    await using _traffic = await startTraffic(proxy.url, 3)
    await using api = await simulateFor()
    const env = serviceEnv(api, proxy)
    await syncInProcess(env, { full: true })

    for (const command of ['verify', 'status', 'doctor', 'report']) {
      const result = await runCli([command], { env })
      expect(result.code, `${command}: ${result.stdout}${result.stderr}`).toBe(0)
    }
  })
})
