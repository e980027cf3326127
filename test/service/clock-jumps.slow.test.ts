import { EventEmitter, once } from 'node:events'
import { describe, expect, test, vi } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { API_KEY, type CliProcess, runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { createFakeClock, FAKETIME, FAKETIME_NOTE } from '../support/fake-clock.js'
import type { TestDatabase } from '../support/test-database.js'

const HOUR_MS = 3_600_000

/** A schedule that does not notice the change stands still for hours; one that does goes on within seconds. */
const SOON = { timeout: 40_000, interval: 100 }

const simulate = (jobs = 120) => startSimulator({ jobs, key: API_KEY, rateLimit: 'off' })

const envOf = (api: { readonly url: string }, database: { readonly url: string }) => ({
  ...{ SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.url, HTTP_PORT: '0' },
  ...{ SYNC_SCHEDULE: '*/2 * * * * *', FULL_SYNC_SCHEDULE: 'off', RETRY_BASE_MS: '10' },
})

const countRuns = async ({ sql }: TestDatabase) =>
  Number((await sql('SELECT count(*) AS runs FROM spidra.sync_runs'))[0]?.runs)

/** Waits until there are `more` runs more than now. */
async function untilRunsGoOn(database: TestDatabase, more: number): Promise<void> {
  const before = await countRuns(database)
  await vi.waitFor(async () => expect(await countRuns(database)).toBeGreaterThanOrEqual(before + more), SOON)
}

/** Runs that began while another was under way, or ended before they began, by the clock of the database. */
const crookedRuns = ({ sql }: TestDatabase) =>
  sql(`SELECT a.id, b.id AS other FROM spidra.sync_runs a LEFT JOIN spidra.sync_runs b
       ON b.id > a.id AND b.started_at < coalesce(a.finished_at, 'infinity')
       WHERE b.id IS NOT NULL OR a.finished_at < a.started_at OR a.started_at > now() OR a.heartbeat_at > now()`)

async function ask(service: CliProcess, path: string) {
  const [, url] = await service.says(/"url":"(http:[^"]+)"/)
  const response = await fetch(`${url}${path}`)
  return { status: response.status, body: JSON.parse(await response.text()) }
}

const parsed = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))

describe.skipIf(FAKETIME === null)(`a clock that jumps${FAKETIME_NOTE}`, { concurrent: true }, () => {
  test('two hours forward and two hours back: the schedule goes on, one run at a time, and the log says so', {
    timeout: 150_000,
  }, async () => {
    await using database = await createCliDatabase()
    await using api = await simulate()
    await using clock = await createFakeClock()
    await using service = await startCli(['start'], { env: { ...envOf(api, database), ...clock.env } })
    await service.says(/"status":"complete"/)

    for (const hours of [2, 0, -2, 0]) {
      await clock.put(hours * HOUR_MS)
      await untilRunsGoOn(database, 3)
    }
    service.kill('SIGTERM')
    const { code, stdout, stderr } = await service.ended

    expect([code, stderr]).toEqual([0, ''])
    expect(await crookedRuns(database)).toEqual([])
    // Every line is one of our own log lines, and no jump starts a run for every tick that it skipped.
    const jumps = parsed(stdout).filter(({ msg }) => msg === 'the clock was set')
    expect(jumps.map(({ jumpMs }) => Math.round(Number(jumpMs) / HOUR_MS))).toEqual([2, -2, -2, 2])
    const started = parsed(stdout).filter(({ msg }) => msg === 'run started')
    expect(started.length).toBeLessThan(jumps.length * 40)
  })

  test.each([
    ['two hours ahead', 2],
    ['two hours behind', -2],
  ])('%s: the freshness is true in HTTP answers and in the table', { timeout: 60_000 }, async (_, hours) => {
    await using database = await createCliDatabase()
    await using api = await simulate()
    await using clock = await createFakeClock()
    await clock.put(hours * HOUR_MS)
    // One run only: what it notes is then made an hour older.
    const env = {
      ...envOf(api, database),
      ...clock.env,
      SYNC_SCHEDULE: '0 0 29 2 *',
      FULL_SYNC_SCHEDULE: '*/5 * * * *',
    }
    await using service = await startCli(['start'], { env })
    await service.says(/"status":"complete"/)

    expect(
      await database.sql(`SELECT last_complete_at BETWEEN now() - interval '1 minute' AND now() AS "isTrue",
        reread_since BETWEEN now() - interval '1 minute' AND now() AS "isRead" FROM spidra.sync_state`),
    ).toEqual([{ isTrue: true, isRead: true }])
    expect(await ask(service, '/readyz')).toMatchObject({ status: 200 })
    expect((await ask(service, '/api/status')).body.accounts[0].lagSeconds).toBeLessThan(60)

    api.faults.setRates({ http500: 1 })
    await database.sql("UPDATE spidra.sync_state SET last_complete_at = now() - interval '1 hour'")
    expect(await ask(service, '/readyz')).toMatchObject({ status: 503 })
    const [{ lagSeconds }] = (await ask(service, '/api/status')).body.accounts
    expect(lagSeconds).toBeGreaterThanOrEqual(3_600)
    expect(lagSeconds).toBeLessThan(3_700)
  })

  test('workers whose clocks are four hours apart agree who holds the account, and who is dead', {
    timeout: 90_000,
  }, async () => {
    await using database = await createCliDatabase()
    const changed = new EventEmitter()
    await using ahead = await createFakeClock()
    await using behind = await createFakeClock()
    await ahead.put(2 * HOUR_MS)
    await behind.put(-2 * HOUR_MS)
    let hangs = true
    await using api = await startSimulator({
      ...{ jobs: 700, key: API_KEY, rateLimit: 'off' },
      beforeAnswer: async () => {
        while (hangs) await once(changed, 'go')
      },
    })
    for (const [one, other] of [
      [ahead, behind],
      [behind, ahead],
    ] as const) {
      hangs = true
      await using holder = await startCli(['sync', '--full'], { env: { ...envOf(api, database), ...one.env } })
      await vi.waitFor(
        async () => expect(await database.sql("SELECT FROM spidra.sync_runs WHERE status = 'running'")).toHaveLength(1),
        SOON,
      )

      const skipped = await runCli(['sync', '--json'], { env: { ...envOf(api, database), ...other.env } })
      expect(JSON.parse(skipped.stdout)).toMatchObject({ status: 'skipped' })

      await database.sql("UPDATE spidra.sync_runs SET heartbeat_at = now() - interval '2 minutes'")
      holder.kill('SIGSTOP')
      hangs = false
      changed.emit('go')
      const heir = await runCli(['sync', '--json'], { env: { ...envOf(api, database), ...other.env } })
      expect(JSON.parse(heir.stdout), heir.stderr).toMatchObject({ status: 'complete', storedTotal: 700 })
    }
    expect(await crookedRuns(database)).toEqual([])
  })
})
