import { describe, expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { runAgainst, storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

const PAGES = 60

/** Bounds a run that would never end. */
const limited = () => AbortSignal.timeout(20_000)

describe('a full pass that is told to hand on', () => {
  test('stops at the next stretch, everything that it read merged, and the next run goes on from there', async () => {
    await using simulator = await startSimulator({ jobs: PAGES * 50, rateLimit: 'off', arrivalsPerMinute: 0 })
    const mustYield = () => simulator.requestCount >= 25

    const first = await runAgainst(simulator, database, { mustYield })

    expect(first.summary).toMatchObject({ status: 'aborted', mode: 'full', inserted: first.summary.jobsRead })
    expect(first.error).toMatchObject({ code: 'handed_on' })
    expect(first.requests).toBe(25)

    const second = await runAgainst(simulator, database)
    expect(second.summary).toMatchObject({ status: 'complete', mode: 'full' })
    expect(second.requests).toBeLessThanOrEqual(PAGES - 25 + 4)
    expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
  })

  test('spends its last requests on its own progress, and not on open jobs that it has read before', async () => {
    await using simulator = await startSimulator({ jobs: PAGES * 50, rateLimit: 'off', arrivalsPerMinute: 0 })
    await runAgainst(simulator, database, { mustYield: () => simulator.requestCount >= 30 })
    // One on every third page above the position.
    const { size: stored } = await storedUuids(database)
    await database.sql(`UPDATE spidra.batch_jobs SET status = 'running' WHERE uuid IN (
      SELECT uuid FROM (SELECT uuid, row_number() OVER (ORDER BY created_at DESC) AS place FROM spidra.batch_jobs) p
      WHERE place > 100 AND place % 75 = 0)`)
    const before = simulator.requestCount

    const { summary, pages } = await runAgainst(simulator, database, {
      mustYield: () => simulator.requestCount - before >= 4,
    })

    expect(summary).toMatchObject({ status: 'aborted', mode: 'full' })
    expect(summary.requests).toBeLessThanOrEqual(8)
    expect(pages.slice(0, 3)).toEqual([1, 3, 5])
    expect(summary.inserted).toBeGreaterThan(0)
    expect((await storedUuids(database)).size).toBe(stored + summary.inserted)
  })

  test('comes to its end in slices of one page each', async () => {
    await using simulator = await startSimulator({ jobs: 12 * 50, rateLimit: 'off', arrivalsPerMinute: 0, ties: 0.3 })
    const statuses: string[] = []
    while (statuses.at(-1) !== 'complete' && statuses.length < 40) {
      const { summary } = await runAgainst(simulator, database, { mode: 'full', mustYield: () => true })
      statuses.push(summary.status)
    }

    expect(statuses.at(-1)).toBe('complete')
    expect(statuses.length).toBeGreaterThan(5)
    expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
  })

  test('never does so above covered ground: what is held back there would be lost', async () => {
    await using simulator = await startSimulator({ jobs: PAGES * 50, rateLimit: 'off', arrivalsPerMinute: 0 })
    await runAgainst(simulator, database)
    for (let job = 0; job < 30 * 50; job += 1) simulator.account.addJob({ status: 'completed' })
    const before = simulator.requestCount

    const { summary } = await runAgainst(simulator, database, { mode: 'full', mustYield: () => true })

    expect(summary).toMatchObject({ status: 'aborted', inserted: 1_500 })
    expect(simulator.requestCount - before).toBeGreaterThan(30)
  })
})

test('a full pass whose head is due while it holds pages back reads on to covered ground first', async () => {
  await using simulator = await startSimulator({ jobs: PAGES * 50, rateLimit: 'off', arrivalsPerMinute: 0 })
  await runAgainst(simulator, database)
  for (let job = 0; job < 30 * 50; job += 1) simulator.account.addJob({ status: 'completed' })

  const { summary } = await runAgainst(simulator, database, {
    mode: 'full',
    timing: { refreshMs: 0 },
    signal: limited(),
  })

  expect(summary).toMatchObject({ status: 'complete', inserted: 1_500 })
})
