import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/config.js'
import { runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { syncInProcess } from '../support/cli-sync.js'
import { crookedRuns, PATIENCE, runsOf, serviceEnv, simulateFor } from '../support/service.js'
import type { TestDatabase } from '../support/test-database.js'

const SKIPPED_INCREMENTAL = /"mode":"incremental","msg":"tick skipped: a run is under way"/g
const SKIPPED_FULL = /"mode":"full","msg":"tick skipped: a run is under way"/

/** Holds an answer back until it is opened. */
function gate() {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}

const modesOf = ({ sql }: TestDatabase) =>
  sql<{ mode: string; trigger: string; status: string; waited: boolean }>(
    'SELECT mode, trigger, status, waited_ms > 0 AS waited FROM spidra.sync_runs ORDER BY id',
  )

test('a run longer than its interval: its ticks are skipped, each with a log line, and a full run that was due follows once', {
  timeout: 90_000,
}, async () => {
  await using database = await createCliDatabase()
  const held = gate()
  // The first load takes one request. The second request is the first one of the service.
  await using api = await simulateFor({
    jobs: 30,
    arrivalsPerMinute: 0,
    beforeAnswer: ({ number }) => (number === 2 ? held.opened : undefined),
  })
  const env = { ...serviceEnv(api, database), SYNC_SCHEDULE: '* * * * * *', FULL_SYNC_SCHEDULE: '*/2 * * * * *' }
  expect((await syncInProcess(env)).code).toBe(0)
  await using service = await startCli(['start'], { env })
  const count = (pattern: RegExp) => service.stdout.match(pattern)?.length ?? 0
  await expect.poll(() => count(SKIPPED_INCREMENTAL), PATIENCE).toBeGreaterThanOrEqual(3)
  await expect.poll(() => SKIPPED_FULL.test(service.stdout), PATIENCE).toBe(true)
  expect(await runsOf(database)).toHaveLength(2)

  held.open()

  await expect.poll(async () => (await runsOf(database)).length, PATIENCE).toBeGreaterThanOrEqual(4)
  service.kill('SIGTERM')
  expect(await service.ended).toMatchObject({ code: 0, stderr: '' })
  expect(await modesOf(database)).toMatchObject([{ mode: 'full' }, { mode: 'incremental' }, { mode: 'full' }, {}])
  expect(count(/"msg":"full run follows"/g)).toBe(1)
  expect(await crookedRuns(database)).toEqual([])
})

test('a full tick during a first load that waits for its budget is skipped like any other: the list is read once', {
  timeout: 120_000,
}, async () => {
  await using database = await createCliDatabase()
  const held = gate()
  await using api = await simulateFor({
    jobs: 600,
    arrivalsPerMinute: 0,
    rateLimit: { limit: 8, windowMs: 3_000 },
    beforeAnswer: ({ number }) => (number === 3 ? held.opened : undefined),
  })
  // Once a minute, so that the next one is far from the end of the load.
  const fullSchedule = `${new Date(Date.now() + 5_000).getUTCSeconds()} * * * * *`
  await using service = await startCli(['start'], {
    env: {
      ...serviceEnv(api, database),
      ...{ SYNC_SCHEDULE: '* * * * * *', FULL_SYNC_SCHEDULE: fullSchedule, RATE_LIMIT_RESERVE: '0' },
    },
  })
  await expect.poll(() => SKIPPED_FULL.test(service.stdout), { ...PATIENCE, timeout: 70_000 }).toBe(true)

  held.open()

  await expect.poll(async () => (await runsOf(database)).length, PATIENCE).toBeGreaterThanOrEqual(2)
  service.kill('SIGTERM')
  await service.ended
  expect((await modesOf(database)).slice(0, 2)).toEqual([
    { mode: 'full', trigger: 'startup', status: 'complete', waited: true },
    expect.objectContaining({ mode: 'incremental', trigger: 'schedule' }),
  ])
})

describe('a schedule that cannot be used', () => {
  test.each([
    ['SYNC_SCHEDULE', '* * * *'],
    ['SYNC_SCHEDULE', '60 * * * *'],
    ['SYNC_SCHEDULE', '*/0 * * * *'],
    ['SYNC_SCHEDULE', 'every five minutes'],
    ['SYNC_SCHEDULE', '* * * * * * *'],
    ['FULL_SYNC_SCHEDULE', '0 25 * * *'],
    ['FULL_SYNC_SCHEDULE', '0 0 31 2 *'],
    // Valid, field by field; but the first of January is never a second Monday.
    ['FULL_SYNC_SCHEDULE', '0 0 1 1 MON#2'],
    ['SCHEDULE_TIMEZONE', 'Europe/Atlantis'],
  ])('%s=%s is refused, by name', (name, value) => {
    const env = {
      ...serviceEnv({ url: 'http://127.0.0.1:9/api' }, { url: 'postgres://u@127.0.0.1:9/d' }),
      [name]: value,
    }

    expect(() => loadConfig(env, { needs: 'service' })).toThrow(new RegExp(`^ *${name} must be `, 'm'))
  })

  test('ends start with 2, before anything is asked or written', async () => {
    await using database = await createCliDatabase()
    await using api = await simulateFor()
    const names = ['SYNC_SCHEDULE', 'FULL_SYNC_SCHEDULE', 'SCHEDULE_TIMEZONE']
    const env = { ...serviceEnv(api, database), ...Object.fromEntries(names.map((name) => [name, 'sometimes'])) }

    const { code, stdout, stderr } = await runCli(['start'], { env })

    expect([code, stdout]).toEqual([2, ''])
    for (const name of names) expect(stderr).toMatch(new RegExp(`^ *${name} must be `, 'm'))
    expect(api.requestCount).toBe(0)
    expect(await database.sql("SELECT to_regnamespace('spidra') AS schema")).toEqual([{ schema: null }])
  })
})
