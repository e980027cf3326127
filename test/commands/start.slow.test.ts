import { createServer } from 'node:http'
import { describe, expect, test } from 'vitest'
import { migrate } from '../../src/db/migrate.js'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'
import { hold, untilBlocked } from '../support/blocking.js'
import { API_KEY, AT_ONCE_MS, type CliProcess, DATABASE_PASSWORD, runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { openRelay } from '../support/relay.js'
import type { TestDatabase } from '../support/test-database.js'

function simulate(options: SimulatorOptions = {}): Promise<Simulator> {
  return startSimulator({ jobs: 120, key: API_KEY, rateLimit: 'off', ...options })
}

/** A service that would next run at some other time of the year. */
const envOf = (api: { readonly url: string }, database: { readonly url: string }) => ({
  ...{ SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.url, HTTP_PORT: '0' },
  ...{ SYNC_SCHEDULE: '0 0 29 2 *', FULL_SYNC_SCHEDULE: 'off' },
})

const runs = ({ sql }: TestDatabase) => sql('SELECT trigger, status, error_code FROM spidra.sync_runs ORDER BY id')

/** Asks the service's HTTP server, whose address is in its log. */
async function ask(service: CliProcess, path: string): Promise<{ status: number; body: string }> {
  const [, url] = await service.says(/"url":"(http:[^"]+)"/)
  const response = await fetch(`${url}${path}`)
  const body = await response.text()
  for (const secret of [API_KEY, DATABASE_PASSWORD]) expect(body).not.toContain(secret)
  return { status: response.status, body }
}

/** Sends SIGTERM; how the process ended, and after how many milliseconds. */
async function terminate(service: CliProcess) {
  const signalledAt = performance.now()
  service.kill('SIGTERM')
  const result = await service.ended
  return { ...result, tookMs: performance.now() - signalledAt }
}

test('migrates, runs at once, answers on HTTP, and ends with 0 within 2 s when idle', async () => {
  await using database = await createCliDatabase()
  await using api = await simulate()
  await using service = await startCli(['start'], { env: envOf(api, database) })
  await service.says(/"msg":"run finished"/)

  expect(await ask(service, '/healthz')).toMatchObject({ status: 200 })
  expect(await ask(service, '/readyz')).toMatchObject({ status: 200, body: expect.stringContaining('complete as of') })
  const { body: metrics } = await ask(service, '/metrics')
  expect(metrics).toMatch(/^spidra_sync_runs_total\{account="default",mode="\w+",status="complete"\} 1$/m)
  const { body: status } = await ask(service, '/api/status')
  const { version, accounts, fleet } = JSON.parse(status)
  expect([version, fleet]).toEqual([1, null])
  expect(accounts).toMatchObject([{ account: 'default', liveJobs: 120, runs: [{ trigger: 'startup' }] }])
  // The next 29th of February.
  expect(accounts[0].nextRunAt).toMatch(/^20\d\d-02-29T00:00:00/)

  const { code, stderr, tookMs } = await terminate(service)
  expect([code, stderr]).toEqual([0, ''])
  expect(tookMs).toBeLessThan(2_000)
  expect(await runs(database)).toEqual([{ trigger: 'startup', status: 'complete', error_code: null }])
})

describe('SIGTERM', () => {
  test('in mid-run: ends with 0, and the run is recorded as aborted', async () => {
    await using database = await createCliDatabase()
    let service: CliProcess | undefined
    let signalledAt = Number.NaN
    await using api = await simulate({
      beforeAnswer: async ({ page }) => {
        if (page < 2 || service === undefined) return
        service.kill('SIGTERM')
        signalledAt = performance.now()
        await service.ended
      },
    })
    service = await startCli(['start'], { env: envOf(api, database) })
    await using running = service

    const { code, stdout, stderr } = await running.ended

    expect([code, stderr]).toEqual([0, ''])
    expect(performance.now() - signalledAt).toBeLessThan(AT_ONCE_MS)
    expect(stdout).toMatch(/"msg":"service stopped"\}\n$/)
    expect(await runs(database)).toEqual([{ trigger: 'startup', status: 'aborted', error_code: 'stopped' }])
  })

  test.each([
    ['the rate limit', { faults: { rates: { http429: 1 }, retryAfterSeconds: 60 } }, {}],
    ['a backoff', { faults: { rates: { http500: 1 } } }, { RETRY_BASE_MS: '60000' }],
  ] as const)('while a run waits for %s: ends at once', async (_, options, env) => {
    await using database = await createCliDatabase()
    await using api = await simulate(options)
    await using service = await startCli(['start'], { env: { ...envOf(api, database), LOG_LEVEL: 'trace', ...env } })
    await service.says(/request will be tried again|waiting for the request budget/)

    const { code, tookMs } = await terminate(service)

    expect(code).toBe(0)
    expect(tookMs).toBeLessThan(AT_ONCE_MS)
    expect(await runs(database)).toEqual([{ trigger: 'startup', status: 'aborted', error_code: 'stopped' }])
  })

  test('while the migrations wait: HTTP answers that it is not ready, and the service ends with 0 too', async () => {
    await using database = await createCliDatabase()
    await using api = await simulate()
    await using _lock = await hold(database, 'SELECT pg_advisory_xact_lock(72707369)')
    await using service = await startCli(['start'], { env: envOf(api, database) })
    await untilBlocked(database)
    expect(await ask(service, '/healthz')).toMatchObject({ status: 200 })
    const { status, body } = await ask(service, '/readyz')
    expect([status, JSON.parse(body).checks]).toMatchObject([
      503,
      { database: { ok: true }, migrations: { ok: false }, schedules: { ok: false } },
    ])
    for (const path of ['/', '/metrics', '/api/status']) expect((await ask(service, path)).status).toBeLessThan(504)

    const { code, stderr } = await terminate(service)

    expect([code, stderr]).toEqual([0, ''])
  })

  test('waits for the statement in hand; a second one ends the process at once', async () => {
    await using database = await createCliDatabase()
    await using api = await simulate()
    await migrate(database.url)
    await using lock = await hold(database, 'LOCK TABLE spidra.batch_jobs IN ACCESS EXCLUSIVE MODE')
    await using service = await startCli(['start'], { env: envOf(api, database) })
    await untilBlocked(database)

    const signalling = setInterval(() => service.kill('SIGTERM'), 100)
    const { code, stdout } = await service.ended.finally(() => clearInterval(signalling))

    expect(code).toBe(143)
    expect(stdout).not.toContain('service stopped')
    await lock.release()
  })
})

describe('the database', () => {
  test('away at the start: one line that says what and where, and 1', async () => {
    await using api = await simulate()
    const env = envOf(api, { url: 'postgres://worker:wrong@127.0.0.1:9/spidra' })

    const { code, stderr } = await runCli(['start'], { env })

    expect(code).toBe(1)
    expect(stderr).toMatch(/^spidra-sync: Cannot reach Postgres at 127\.0\.0\.1:9 \(ECONNREFUSED\): [^\n]+\n$/)
    expect(api.requestCount).toBe(0)
  })

  test('away later: the service stays up and says so, and goes on by itself', async () => {
    await using database = await createCliDatabase()
    await using api = await simulate()
    await using relay = await openRelay(database.url)
    const env = { ...envOf(api, relay), SYNC_SCHEDULE: '* * * * * *' }
    await using service = await startCli(['start'], { env })
    await service.says(/"msg":"run finished"/)

    await relay.cut()

    await service.says(/"msg":"run failed"/)
    expect(await ask(service, '/healthz')).toMatchObject({ status: 200 })
    const readyz = await ask(service, '/readyz')
    expect(readyz.status).toBe(503)
    expect(JSON.parse(readyz.body).checks.database).toMatchObject({ ok: false })
    expect(await ask(service, '/metrics')).toMatchObject({ status: 200 })
    expect(await ask(service, '/api/status')).toMatchObject({ status: 503 })

    await relay.restore()
    api.account.addJob()

    await expect
      .poll(() => database.sql('SELECT count(*)::integer AS jobs FROM spidra.batch_jobs'), { timeout: 20_000 })
      .toEqual([{ jobs: 121 }])
    await expect.poll(async () => (await ask(service, '/readyz')).status, { timeout: 20_000 }).toBe(200)
    expect(await terminate(service)).toMatchObject({ code: 0, stderr: '' })
  })

  test('cut off in mid-run: the next run closes the record that could not be closed, as it ended', async () => {
    await using database = await createCliDatabase()
    await using relay = await openRelay(database.url)
    await using api = await simulate({ beforeAnswer: ({ number }) => (number === 2 ? relay.cut() : undefined) })
    await using service = await startCli(['start'], { env: { ...envOf(api, relay), SYNC_SCHEDULE: '* * * * * *' } })
    await service.says(/"msg":"run failed"/)

    await relay.restore()

    await service.says(/"status":"complete"/)
    const [first, ...others] = await runs(database)
    expect(first).toMatchObject({ trigger: 'startup', status: 'failed', error_code: 'unreachable' })
    expect(others).not.toContainEqual(expect.objectContaining({ status: 'running', trigger: 'startup' }))
    expect(await terminate(service)).toMatchObject({ code: 0, stderr: '' })
  })
})

test('a refused key fails the run and not the service, and the log names SPIDRA_API_KEY', async () => {
  await using database = await createCliDatabase()
  await using api = await simulate({ key: 'spd_another' })
  await using service = await startCli(['start'], { env: envOf(api, database) })

  await service.says(/"level":"error".*Check SPIDRA_API_KEY.*"msg":"run failed"/)

  expect(await ask(service, '/healthz')).toMatchObject({ status: 200 })
  expect(await terminate(service)).toMatchObject({ code: 0, stderr: '' })
})

test('SOURCE_ADDRESS that this machine has not: 2, naming it, before anything is asked or written', async () => {
  await using database = await createCliDatabase()
  await using api = await simulate()

  const { code, stderr } = await runCli(['start'], {
    env: { ...envOf(api, database), SOURCE_ADDRESS: '203.0.113.7' },
  })

  expect(code).toBe(2)
  expect(stderr).toMatch(/^SOURCE_ADDRESS is not an address of this machine \(EADDRNOTAVAIL\)/m)
  expect(api.requestCount).toBe(0)
  expect(await database.sql("SELECT to_regnamespace('spidra') AS schema")).toEqual([{ schema: null }])
})

describe('HTTP_PORT', () => {
  test('taken: 2, naming it, and no run', async () => {
    await using database = await createCliDatabase()
    await using api = await simulate()
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const address = other.address()
    if (address === null || typeof address === 'string') throw new Error('no port')

    const { code, stderr } = await runCli(['start'], {
      env: { ...envOf(api, database), HTTP_PORT: String(address.port) },
    })
    other.close()

    expect(code).toBe(2)
    expect(stderr).toMatch(/^HTTP_PORT \d+ on 127\.0\.0\.1 is in use/m)
    expect(api.requestCount).toBe(0)
  })

  test('off: no server, and the service runs', async () => {
    await using database = await createCliDatabase()
    await using api = await simulate()
    await using service = await startCli(['start'], { env: { ...envOf(api, database), HTTP_PORT: 'off' } })
    await service.says(/"msg":"run finished"/)

    const { code, stdout } = await terminate(service)

    expect(code).toBe(0)
    expect(stdout).not.toContain('http server')
  })
})

test('says which variables it ignores', async () => {
  await using database = await createCliDatabase()
  await using api = await simulate()
  const env = { ...envOf(api, database), SYNC_SHEDULE: 'off' }
  await using service = await startCli(['start'], { env })

  await service.says(/"level":"warn".*SYNC_SHEDULE is ignored/)
})

test('without DATABASE_URL: the embedded Postgres, which goes with the service', async () => {
  await using api = await simulate()
  await using service = await startCli(['start'], { env: { ...envOf(api, { url: '' }), DATABASE_URL: undefined } })
  await service.says(/no DATABASE_URL: using the embedded postgres/)
  await service.says(/"msg":"run finished"/)

  expect(await terminate(service)).toMatchObject({ code: 0, stderr: '' })
})
