import { describe, expect, test } from 'vitest'
import { runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { crookedRuns, PATIENCE, runsOf, serviceEnv, simulateFor } from '../support/service.js'

test('a run longer than its interval: its ticks are skipped, each with a word, and the schedule goes on', {
  timeout: 90_000,
}, async () => {
  await using database = await createCliDatabase()
  let skips = 0
  let go = () => {}
  const skippedTwice = new Promise<void>((resolve) => {
    go = resolve
  })
  await using api = await simulateFor({
    beforeAnswer: ({ number }) => (number === 1 ? skippedTwice : undefined),
  })
  await using service = await startCli(['start'], {
    env: { ...serviceEnv(api, database), SYNC_SCHEDULE: '* * * * * *', FULL_SYNC_SCHEDULE: '*/2 * * * * *' },
  })
  const count = (pattern: RegExp) => service.stdout.match(pattern)?.length ?? 0
  const skipped = /"mode":"incremental","msg":"tick skipped: a run is under way"/g
  await expect.poll(() => (skips = count(skipped)), PATIENCE).toBeGreaterThanOrEqual(3)
  expect(await database.sql('SELECT FROM spidra.sync_runs')).toHaveLength(1)
  expect(count(/"msg":"tick during a run: full run follows"/g)).toBeGreaterThanOrEqual(1)

  go()

  await expect.poll(async () => (await runsOf(database)).length, PATIENCE).toBeGreaterThanOrEqual(4)
  service.kill('SIGTERM')
  expect(await service.ended).toMatchObject({ code: 0, stderr: '' })
  // The full run that was due follows at once, and once, however often it was due.
  const [first, second] = await database.sql('SELECT mode, trigger FROM spidra.sync_runs ORDER BY id')
  expect([first?.trigger, second]).toEqual(['startup', { mode: 'full', trigger: 'schedule' }])
  expect(skips).toBeGreaterThanOrEqual(3)
  expect(await crookedRuns(database)).toEqual([])
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
  ])('%s=%s is refused at the start, by name, with 2 and before anything is asked or written', async (name, value) => {
    await using database = await createCliDatabase()
    await using api = await simulateFor()

    const { code, stdout, stderr } = await runCli(['start'], { env: { ...serviceEnv(api, database), [name]: value } })

    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(new RegExp(`^ *${name} must be `, 'm'))
    expect(api.requestCount).toBe(0)
    expect(await database.sql("SELECT to_regnamespace('spidra') AS schema")).toEqual([{ schema: null }])
  })
})
