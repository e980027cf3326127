import { describe, expect, test } from 'vitest'
import { SYNC_SIZES, scaleTiming, TIMING } from '../../src/config/scale.js'
import { createSharedBudget } from '../../src/service/account-run.js'
import { createAccount } from '../../src/simulator/account.js'
import { type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { loadTable, noteSweep, runAgainst, storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

const budgetOf = (limit: number, windowMs: number, reserve = 0) =>
  createSharedBudget({ timing: TIMING, rateLimit: { requests: limit, windowSeconds: windowMs / 1000, reserve } })

/** A list whose total proves nothing: each job that comes drops the oldest, and half of the answers are a moment old. */
const CAPPED: SimulatorOptions = { cap: 300, jobs: 300, rateLimit: 'off' }

describe('a first load of a busy account', () => {
  // More than a page of new jobs comes while the run waits for its budget, and far more than the budget holds is unread.
  const BUSY = { jobs: 4_000, arrivalsPerMinute: 9_000, rateLimit: { limit: 30, windowMs: 700 } } as const

  test('completes in one go', { timeout: 120_000 }, async () => {
    await using simulator = await startSimulator({ ...BUSY, requestsKept: 10_000 })

    const { summary } = await runAgainst(simulator, database, { sharedBudget: budgetOf(30, 700) })

    expect(summary).toMatchObject({ status: 'complete', mode: 'full' })
    expect(summary.waitedMs, 'it had to wait').toBeGreaterThan(700)
    expect(summary.inserted - 4_000, 'more than a page came').toBeGreaterThan(50)
    expect(summary.storedTotal).toBe(summary.listedTotal)
  })

  test('goes on wherever it was cut off, and stores more each time', { timeout: 120_000 }, async () => {
    await using simulator = await startSimulator({ ...BUSY, requestsKept: 10_000 })
    let stored = 0
    for (const cutAfter of [3, 17, 31, 46]) {
      const stopper = new AbortController()
      let pages = 0
      const { summary } = await runAgainst(simulator, database, {
        sharedBudget: budgetOf(30, 700),
        sizes: { ...SYNC_SIZES, chunkPages: 1, windowAnswers: 1 },
        signal: stopper.signal,
        onPage: () => {
          pages += 1
          if (pages === cutAfter) stopper.abort(new Error('stop'))
        },
      })
      expect(summary.status).toBe('aborted')
      const now = (await storedUuids(database)).size
      expect(now).toBeGreaterThanOrEqual(stored)
      stored = now
    }
    const { summary } = await runAgainst(simulator, database, { sharedBudget: budgetOf(30, 700) })
    expect(summary).toMatchObject({ status: 'complete' })
  })
})

describe('a full pass that waits for several windows', () => {
  test.each([
    { arrivalsPerMinute: 0, removalsPerMinute: 0 },
    { arrivalsPerMinute: 600, removalsPerMinute: 0 },
    { arrivalsPerMinute: 300, removalsPerMinute: 12, removalsFrom: 'tail' },
  ] as const)('keeps the last verdict fresh: %o', { timeout: 120_000 }, async (moves) => {
    // A window of a quarter of an hour in four seconds, and all durations with it.
    const timing = scaleTiming(TIMING, 4_000 / 900_000)
    const rateLimit = { limit: 40, windowMs: 4_000, reset: 'epochMs' } as const
    await using simulator = await startSimulator({ ...moves, jobs: 4_000, rateLimit })
    await loadTable(simulator, database)
    await noteSweep(database)
    const ages: number[] = []
    const { budget, listen } = createSharedBudget({
      timing,
      rateLimit: { requests: 40, windowSeconds: 4, reserve: 0 },
    })
    const timer = setInterval(async () => {
      const rows = await database.sql<{ age: number }>(
        `SELECT 1000 * extract(epoch FROM clock_timestamp() - last_complete_at)::float AS age FROM spidra.sync_state`,
      )
      ages.push(rows[0]?.age ?? 0)
    }, 100)

    const { summary } = await runAgainst(simulator, database, {
      mode: 'full',
      sharedBudget: { budget, listen },
      windowRest: budget.rest,
      timing: { refreshMs: timing.refreshMs, longWaitMs: timing.longWaitMs },
    }).finally(() => clearInterval(timer))

    expect(summary.durationMs, 'several windows').toBeGreaterThan(6_000)
    expect(ages.length).toBeGreaterThan(30)
    // Two intervals; a busy machine takes its time for the rest, and the whole pass takes far longer.
    expect(Math.max(...ages)).toBeLessThan(2 * timing.refreshMs + 1_500)
  })
})

test('a removed job is found by bisection while new ones come between any two requests', async () => {
  await using simulator = await startSimulator({
    jobs: 5_000,
    rateLimit: 'off',
    beforeAnswer: () => void simulator.account.addJob({ status: 'completed' }),
  })
  await loadTable(simulator, database)
  await noteSweep(database)
  const uuids = [...simulator.account.allUuids()]
  for (const index of [1_234, 3_456]) simulator.account.removeJob(uuids[index] ?? '')

  const { summary, requests } = await runAgainst(simulator, database)

  expect(summary).toMatchObject({ status: 'complete', mode: 'incremental', removed: 2 })
  // Two searches among a hundred pages, and none of the whole list.
  expect(requests).toBeLessThan(45)
})

describe('two backends, one behind', () => {
  test('of a capped list: no false verdict, no listed job removed, most runs complete', {
    timeout: 120_000,
  }, async () => {
    const lagMs = 100
    const epoch = Date.now()
    const moving = { ...CAPPED, epoch, arrivalsPerMinute: 600, backends: { count: 2, lagMs } }
    await using simulator = await startSimulator(moving)
    const versionAt = (at: number) => {
      const { backends: _, rateLimit: __, ...options } = moving
      return new Set(createAccount({ ...options, now: () => at }).allUuids())
    }
    let complete = 0
    let losesJobs = false
    for (let run = 0; run < 40; run += 1) {
      const startedAt = Date.now()
      const { summary } = await runAgainst(simulator, database, { mode: run % 3 === 0 ? 'full' : 'incremental' })
      const endedAt = Date.now()
      const rows = await database.sql<{ uuid: string; gone: boolean }>(
        'SELECT uuid::text AS uuid, removed_at IS NOT NULL AS gone FROM spidra.batch_jobs',
      )
      const listed = versionAt(endedAt)
      expect(rows.filter(({ uuid, gone }) => gone && listed.has(uuid))).toEqual([])
      const [state] = await database.sql<{ loses_jobs: boolean }>('SELECT loses_jobs FROM spidra.sync_state')
      losesJobs ||= state?.loses_jobs ?? false
      if (summary.status !== 'complete' || !losesJobs) continue
      complete += 1
      const live = new Set(rows.flatMap(({ uuid, gone }) => (gone ? [] : uuid)))
      // Jobs come every 100 ms: every version since the lag before the run.
      const isVersion = Array.from({ length: endedAt - startedAt + lagMs + 20 }, (_, ms) => startedAt - lagMs - 10 + ms)
        .filter((_, index) => index % 5 === 0)
        .some((at) => {
          const version = versionAt(at)
          return version.size === live.size && [...live].every((uuid) => version.has(uuid))
        })
      expect(isVersion, `run ${run} says complete`).toBe(true)
    }
    expect(complete).toBeGreaterThanOrEqual(20)
  })
})

describe('the lists of two accounts in turn', () => {
  test.each([100, 200, 450])('are refused, and the cause is named: %i jobs each', async (jobs) => {
    await using simulator = await startSimulator({ jobs, accounts: 2, routing: 'turns', rateLimit: 'off' })

    for (let run = 0; run < 3; run += 1) {
      const { summary, warnings } = await runAgainst(simulator, database, { mode: run === 1 ? 'full' : 'incremental' })
      expect(summary.status).toBe('partial')
      if (summary.reason === 'two_lists') expect(warnings).toContain('the API answers with the lists of two accounts')
      else expect(['mass_removal', 'list_moving']).toContain(summary.reason)
    }
  })
})

describe('a server with pages of its own size', () => {
  test('is complete where the list loses nothing', async () => {
    await using simulator = await startSimulator({ jobs: 620, fixedLimit: 20, rateLimit: 'off' })

    expect((await runAgainst(simulator, database)).summary).toMatchObject({ status: 'complete', storedTotal: 620 })
    await noteSweep(database)
    // One more than elsewhere: each run asks for full pages first.
    expect(await runAgainst(simulator, database)).toMatchObject({ requests: 2, summary: { status: 'complete' } })
  })

  test('is not believed where the list loses jobs: no listed job is removed, and the run says why', async () => {
    await using simulator = await startSimulator({ jobs: 620, fixedLimit: 50, rateLimit: 'off' })
    await loadTable(simulator, database)
    await noteSweep(database)
    await database.sql('UPDATE spidra.sync_state SET loses_jobs = true')
    for (const uuid of [...simulator.account.allUuids()].slice(310, 313)) simulator.account.removeJob(uuid)

    const { summary, warnings } = await runAgainst(simulator, database, { mode: 'full' })

    expect(summary).toMatchObject({ status: 'partial', removed: 3, reason: 'assumption_broken' })
    expect(warnings).toContain('pages cannot be read so that they overlap: no run can prove that it is complete')
    const stored = await storedUuids(database)
    expect([...simulator.account.allUuids()].filter((uuid) => !stored.has(uuid))).toEqual([])
  })
})
