import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { loadTable, makeSweepDue, noteSweep, runAgainst, storedUuids } from '../support/sync-runner.js'
import { createTestDatabase } from '../support/test-database.js'

const TICK_MS = 5 * 60_000
const TICKS_AN_HOUR = 12

/**
 * `npm run check` tries one hour of a thousand jobs. `npm run torture` tries a day of 1,000, 100,000 and 1,000,000 jobs;
 * its output is the table in docs/reliability.md.
 */
const SIZES = (process.env.REQUEST_COST_SIZES ?? '1000').split(',').map(Number)
const HOURS = Number(process.env.REQUEST_COST_HOURS ?? 1)

test.each(SIZES)('what keeping %i jobs fresh costs', { timeout: 3_600_000 }, async (jobs) => {
  await using database = await createTestDatabase()
  const epoch = Date.UTC(2026, 0, 1)
  let now = epoch
  await using simulator = await startSimulator({ jobs, epoch, now: () => now, arrivalsPerMinute: 1, rateLimit: 'off' })
  await loadTable(simulator, database)

  const requests: number[] = []
  for (let tick = 1; tick <= HOURS * TICKS_AN_HOUR; tick += 1) {
    now = epoch + tick * TICK_MS
    if (tick % TICKS_AN_HOUR === 0) await makeSweepDue(database)
    else await noteSweep(database)
    const run = await runAgainst(simulator, database)
    expect(run.summary).toMatchObject({ status: 'complete', openUnread: 0 })
    requests.push(run.requests)
  }
  const full = await runAgainst(simulator, database, { mode: 'full' })

  expect(full.summary.status).toBe('complete')
  expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
  const sorted = requests.toSorted((one, other) => one - other)
  const sum = requests.reduce((total, count) => total + count, 0)
  const figures = {
    jobs,
    runs: requests.length,
    median: sorted[sorted.length >> 1],
    most: sorted.at(-1),
    sum,
    full: full.requests,
  }
  process.stdout.write(`${JSON.stringify(figures)}\n`)
})
