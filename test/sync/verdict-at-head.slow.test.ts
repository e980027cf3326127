import { expect, test } from 'vitest'
import { SYNC_SIZES, scaleTiming, TIMING } from '../../src/config/scale.js'
import { createSharedBudget } from '../../src/service/account-run.js'
import { type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { loadTable, runAgainst } from '../support/sync-runner.js'

const database = await shareTestDatabase()

const WINDOW_MS = 7_200
const RESERVE = 0.5
/** A third of a window, as the default schedule is of the API's. */
const REFRESH_MS = WINDOW_MS / 3
const timing = scaleTiming(TIMING, WINDOW_MS / 900_000)

function budgetOf(limit: number) {
  const sharedBudget = createSharedBudget({
    timing,
    rateLimit: { requests: limit, windowSeconds: WINDOW_MS / 1000, reserve: RESERVE },
  })
  return { sharedBudget, windowRest: sharedBudget.budget.rest, timing }
}

/** What a search for removed jobs takes on a busy machine. Requests take as long as ever, while intervals are scaled. */
const SEARCH_MS = REFRESH_MS / 2

/** Two arrivals and two removals in a window. */
const LOSING = { losesJobs: true, arrivalsPerMinute: 15, removalsPerMinute: 15 }

/** A full pass over stored jobs, and how old the last verdict was at most during it, in milliseconds. */
async function fullPass({
  limit,
  losesJobs = false,
  pageLimit = SYNC_SIZES.pageLimit,
  ...account
}: SimulatorOptions & { readonly limit: number; readonly losesJobs?: boolean; readonly pageLimit?: number }) {
  let oldestMs = 0
  await using simulator = await startSimulator({
    rateLimit: { limit, windowMs: WINDOW_MS, reset: 'epochMs' },
    ...account,
    // The verdict is oldest just before a head that moves it.
    async beforeAnswer() {
      const [row] = await database.sql<{ ms: number }>(
        'SELECT extract(epoch FROM now() - last_complete_at)::float8 * 1000 AS ms FROM spidra.sync_state',
      )
      oldestMs = Math.max(oldestMs, row?.ms ?? Number.POSITIVE_INFINITY)
    },
  })
  await loadTable(simulator, database)
  await database.sql('UPDATE spidra.sync_state SET loses_jobs = $1', [losesJobs])

  const { summary } = await runAgainst(simulator, database, {
    mode: 'full',
    ...budgetOf(limit),
    sizes: { ...SYNC_SIZES, pageLimit },
  })

  return { summary, oldestMs }
}

test.each([
  { name: 'a still list', limit: 80, jobs: 4_000 },
  { name: 'two new jobs a second', limit: 80, jobs: 4_000, arrivalsPerMinute: 120 },
  { name: 'a budget of 15 requests', limit: 30, jobs: 1_500 },
  { name: 'removals at the tail', limit: 80, jobs: 3_000, ...LOSING, removalsFrom: 'tail' },
  { name: 'removals anywhere', limit: 80, jobs: 3_000, ...LOSING, removalsFrom: 'anywhere' },
  // Two heads in a row never find one gone each, and a search takes more than two heads without one.
  {
    name: 'a removal at times, of many pages',
    limit: 140,
    jobs: 1_700,
    pageLimit: 10,
    ...LOSING,
    removalsFrom: 'anywhere',
  },
] as const)(
  'while a full pass waits for windows, its verdict is never older than two refresh intervals: $name',
  { timeout: 120_000 },
  async ({ name, ...options }) => {
    const { summary, oldestMs } = await fullPass(options)

    expect(summary).toMatchObject({ status: 'complete', mode: 'full' })
    expect(summary.waitedMs).toBeGreaterThan(REFRESH_MS)
    expect(oldestMs).toBeLessThan(2 * REFRESH_MS + SEARCH_MS)
  },
)

test('a first pass keeps nothing of a window back', { timeout: 60_000 }, async () => {
  const limit = 30
  await using simulator = await startSimulator({
    jobs: 2_000,
    rateLimit: { limit, windowMs: WINDOW_MS, reset: 'epochMs' },
  })

  const { summary } = await runAgainst(simulator, database, { mode: 'full', ...budgetOf(limit) })

  expect(summary.status).toBe('complete')
  const perWindow: number[] = []
  let endsAt = 0
  for (const { at } of simulator.requests) {
    if (at >= endsAt) {
      endsAt = at + WINDOW_MS
      perWindow.push(0)
    }
    perWindow.push((perWindow.pop() ?? 0) + 1)
  }
  expect(perWindow.length).toBeGreaterThanOrEqual(3)
  // The budget itself keeps one request for finding out about the next window.
  for (const requests of perWindow.slice(0, -1)) expect(requests).toBeGreaterThanOrEqual(limit * (1 - RESERVE) - 1)
})
