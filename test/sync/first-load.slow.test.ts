import { expect, test } from 'vitest'
import { SYNC_SIZES, scaleTiming, TIMING } from '../../src/config/scale.js'
import { createSharedBudget } from '../../src/service/account-run.js'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { runAgainst, storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

const LIMIT = 40
const RESERVE = 0.5
const SHARE = LIMIT * (1 - RESERVE)
const WINDOW_MS = 1_000
/** A window of the API's is 15 minutes. */
const timing = scaleTiming(TIMING, WINDOW_MS / 900_000)
const sizes = { ...SYNC_SIZES, minSlicePages: 4 }

const createBudget = () =>
  createSharedBudget({ timing, rateLimit: { requests: LIMIT, windowSeconds: WINDOW_MS / 1000, reserve: RESERVE } })

const addJobs = ({ account }: Simulator, count: number) => {
  for (let added = 0; added < count; added += 1) account.addJob({ status: 'completed' })
}

/** Of what is listed, newest first, the number of jobs before the first one that is not stored, and after the last one that is. */
async function storedPart({ account }: Simulator): Promise<{ readonly holes: number; readonly below: number }> {
  const stored = await storedUuids(database)
  const listed = [...account.allUuids()]
  const first = listed.findIndex((uuid) => stored.has(uuid))
  const last = listed.findLastIndex((uuid) => stored.has(uuid))
  const holes = first === -1 ? 0 : listed.slice(first, last + 1).filter((uuid) => !stored.has(uuid)).length
  return { holes, below: listed.length - 1 - last }
}

test.each([60, 250, 480])(
  'a first load completes in one go while %i jobs arrive in each wait for the budget',
  { timeout: 60_000 },
  async (arrivals) => {
    await using simulator = await startSimulator({
      jobs: 3_000,
      requestsKept: 10_000,
      rateLimit: { limit: LIMIT, windowMs: WINDOW_MS, reset: 'epochMs' },
    })
    let waits = 0

    const { summary, pages } = await runAgainst(simulator, database, {
      timing,
      sizes,
      sharedBudget: createBudget(),
      onWait() {
        waits += 1
        addJobs(simulator, arrivals)
      },
    })

    expect(summary).toMatchObject({ status: 'complete', mode: 'full' })
    expect(waits).toBeGreaterThanOrEqual(2)
    // Each page once, and for each head the place where it joins, and the place to go on from.
    const heads = pages.filter((page) => page === 1).length
    expect(summary.requests).toBeLessThanOrEqual(Math.ceil(simulator.account.total / 50) + heads * 5)
    expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
  },
)

test.each([80, 260])(
  'a first load that is cut off again and again, %i jobs arriving in between, advances in each run and completes',
  { timeout: 60_000 },
  async (arrivals) => {
    await using simulator = await startSimulator({ jobs: 3_000, rateLimit: 'off', requestsKept: 10_000 })
    let below = Number.POSITIVE_INFINITY
    let runs = 0
    for (;;) {
      runs += 1
      const stopper = new AbortController()
      const before = simulator.requestCount
      // At every phase: in the climb at the head, on the way to the position, inside a window.
      const allowed = SHARE + (runs % 7)
      const { summary } = await runAgainst(simulator, database, {
        timing,
        sizes,
        signal: stopper.signal,
        onPage: () => {
          if (simulator.requestCount - before >= allowed) stopper.abort(new Error('stop'))
        },
      })
      const part = await storedPart(simulator)
      expect(part.holes, `run ${runs}`).toBe(0)
      if (summary.status === 'complete') break
      expect(summary.status, `run ${runs}`).toBe('aborted')
      expect(part.below, `run ${runs}`).toBeLessThan(below)
      below = part.below
      addJobs(simulator, arrivals)
    }
    expect(runs).toBeGreaterThan(3)
    expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
  },
)

test('a first load that is cut off after any number of requests leaves no hole, and the next run completes', {
  timeout: 120_000,
}, async () => {
  for (const allowed of [1, 2, 3, 5, 6, 7, 8, 9, 11, 13, 14, 15, 17, 20, 24]) {
    await database.sql('TRUNCATE spidra.batch_jobs, spidra.batch_job_events, spidra.sync_runs, spidra.sync_state')
    await using simulator = await startSimulator({ jobs: 700, rateLimit: 'off', ties: 0.3 })
    // The first run stops in the middle, so that the second one has a head to climb to and a position to go on from.
    for (const requests of [9, allowed]) {
      const stopper = new AbortController()
      const before = simulator.requestCount
      await runAgainst(simulator, database, {
        signal: stopper.signal,
        onPage: () => {
          if (simulator.requestCount - before >= requests) stopper.abort(new Error('stop'))
        },
      })
      expect((await storedPart(simulator)).holes, `cut off after ${requests}`).toBe(0)
      addJobs(simulator, 130)
    }

    const { summary } = await runAgainst(simulator, database)

    expect(summary, `cut off after ${allowed}`).toMatchObject({ status: 'complete', storedTotal: 960 })
    expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
  }
})
