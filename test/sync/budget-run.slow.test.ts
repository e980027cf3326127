import { expect, test } from 'vitest'
import { TIMING } from '../../src/config/scale.js'
import { createSharedBudget, type SharedBudget } from '../../src/service/account-run.js'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { loadTable, makeSweepDue, runAgainst, storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

/** `npm run torture` reads 100,000 jobs with the API's own 300 requests a window, which it makes longer for that. */
const JOBS = Number(process.env.BUDGET_JOBS ?? 3_500)
const LIMIT = Number(process.env.BUDGET_LIMIT ?? 40)
const WINDOW_MS = Number(process.env.BUDGET_WINDOW_MS ?? 2_000)
const RESERVE = 0.5

const budgetOf = (): SharedBudget =>
  createSharedBudget({ timing: TIMING, rateLimit: { requests: 300, windowSeconds: 900, reserve: RESERVE } })

/** Requests and refusals by the windows of the simulator, each of which begins with a request. */
function windowsOf({ requests }: Simulator): { readonly requests: number; readonly refused: number }[] {
  const windows: { endsAt: number; requests: number; refused: number }[] = []
  for (const { at, status } of requests) {
    let window = windows.at(-1)
    if (window === undefined || at >= window.endsAt) {
      window = { endsAt: at + WINDOW_MS, requests: 0, refused: 0 }
      windows.push(window)
    }
    window.requests += 1
    if (status === 429) window.refused += 1
  }
  return windows.map(({ requests, refused }) => ({ requests, refused }))
}

test.each(['legacy', 'draft8', 'x', 'none'] as const)(
  'a first pass of many windows takes its share of each, and completes (%s headers)',
  { timeout: 600_000 },
  async (headers) => {
    await using simulator = await startSimulator({
      jobs: JOBS,
      requestsKept: JOBS,
      rateLimit: { limit: LIMIT, windowMs: WINDOW_MS, headers },
    })
    const sharedBudget =
      headers === 'none'
        ? createSharedBudget({
            timing: TIMING,
            rateLimit: { requests: LIMIT, windowSeconds: WINDOW_MS / 1000, reserve: RESERVE },
          })
        : budgetOf()

    const { summary } = await runAgainst(simulator, database, { sharedBudget })

    expect(summary).toMatchObject({ status: 'complete', storedTotal: JOBS })
    const windows = windowsOf(simulator)
    expect(windows.length).toBeGreaterThanOrEqual(4)
    for (const { requests, refused } of windows) {
      expect(refused).toBe(0)
      expect(requests).toBeLessThanOrEqual((1 - RESERVE) * LIMIT)
    }
    expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
  },
)

test('others who take more than the reserve do not starve it', { timeout: 300_000 }, async () => {
  let windowEndsAt = 0
  await using simulator = await startSimulator({
    jobs: 1_500,
    rateLimit: { limit: LIMIT, windowMs: WINDOW_MS },
    beforeAnswer() {
      if (Date.now() < windowEndsAt) return
      windowEndsAt = Date.now() + WINDOW_MS
      simulator.spend(LIMIT - 10)
    },
  })

  const { summary } = await runAgainst(simulator, database, { sharedBudget: budgetOf() })

  expect(summary).toMatchObject({ status: 'complete', storedTotal: 1_500 })
  const windows = windowsOf(simulator)
  for (const { requests, refused } of windows) {
    expect(refused).toBeLessThanOrEqual(1)
    expect(requests).toBeLessThanOrEqual(10 + 1)
  }
  // Of the ten that are left most are used.
  expect(windows.slice(0, -1).every(({ requests }) => requests >= 6)).toBe(true)
})

test('RATE_LIMIT_REQUESTS=off and an API that says nothing of its limit: a first pass completes, window by window', async () => {
  const rateLimit = { limit: 8, windowMs: 500, headers: 'none', retryAfter: 'none' } as const
  await using simulator = await startSimulator({ jobs: 1_000, rateLimit })
  const sharedBudget = createSharedBudget({
    timing: TIMING,
    rateLimit: { requests: null, windowSeconds: 0.5, reserve: RESERVE },
  })

  const { summary } = await runAgainst(simulator, database, { sharedBudget })

  expect(summary).toMatchObject({ status: 'complete', storedTotal: 1_000 })
  const refused = simulator.requests.filter(({ status }) => status === 429).length
  expect(refused).toBeGreaterThanOrEqual(2)
  expect(summary.retries).toBe(refused)
})

test('an abort while it waits for the window ends the run at once', async () => {
  await using simulator = await startSimulator({ jobs: LIMIT * 100, rateLimit: { limit: LIMIT } })
  const stopper = new AbortController()
  let abortedAt = Number.NaN
  const { summary } = await runAgainst(simulator, database, {
    sharedBudget: budgetOf(),
    signal: stopper.signal,
    onWait: () =>
      void setImmediate(() => {
        abortedAt = performance.now()
        stopper.abort(new Error('stop'))
      }),
  })

  expect(performance.now() - abortedAt).toBeLessThan(1_500)
  expect(summary.status).toBe('aborted')
  expect(summary.requests).toBe((1 - RESERVE) * LIMIT)
})

test('an incremental run that finds the budget spent leaves the sweep out, and waits for the head', async () => {
  await using simulator = await startSimulator({ jobs: 1_000, rateLimit: { limit: LIMIT, windowMs: WINDOW_MS } })
  await loadTable(simulator, database)
  const sharedBudget = budgetOf()
  simulator.spend(LIMIT - 1)
  expect((await runAgainst(simulator, database, { sharedBudget })).requests).toBe(1)
  expect(sharedBudget.budget.mayGo()).toBe(false)
  await makeSweepDue(database)
  const sweptAt = () => database.sql('SELECT last_sweep_at FROM spidra.sync_state')
  const before = await sweptAt()

  const { summary, pages } = await runAgainst(simulator, database, { sharedBudget })

  expect(summary).toMatchObject({ status: 'complete', storedTotal: 1_000 })
  expect(summary.waitedMs).toBeGreaterThan(0)
  expect(pages).toEqual([1])
  expect(await sweptAt()).toEqual(before)
})
