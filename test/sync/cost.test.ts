import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { costOf, fullPass, incrementalRun, resultsCost, type StartingBudget } from '../../src/sync/cost.js'

const FRESH: StartingBudget = { limit: 300, remaining: 299, resetInMs: 900_000, windowMs: 900_000, reserve: 0.5 }

describe('a full pass', () => {
  test.each([
    [0, 0, 1],
    [1, 1, 1],
    [50, 1, 1],
    [51, 2, 3],
    [100_000, 2000, 2001],
  ])('over %d jobs reads %d pages with %d requests', (total, pages, requests) => {
    expect(fullPass(total, 50, 0)).toMatchObject({ pages, requests })
  })

  test('reads head, open pages and the page of its position again after a wait', () => {
    expect(fullPass(100_000, 50, 3).againAfterWait).toBe(5)
  })
})

describe('an incremental run', () => {
  const quiet = { openPages: 0, pagesPerRun: 20, isSweepDue: false, budget: null }

  test.each([
    ['nothing open', 100_000, {}, 1],
    ['five pages with open jobs', 100_000, { openPages: 5 }, 6],
    ['more open pages than the allowance', 100_000, { openPages: 500 }, 16],
    ['a slice due', 100_000, { isSweepDue: true }, 21],
    ['a slice due and open pages', 100_000, { isSweepDue: true, openPages: 5 }, 21],
    [
      'a slice due and little budget',
      100_000,
      { isSweepDue: true, openPages: 5, budget: { ...FRESH, remaining: 9 } },
      9,
    ],
    ['many open pages and less budget', 100_000, { openPages: 5, budget: { ...FRESH, remaining: 3 } }, 3],
    ['no budget', 100_000, { isSweepDue: true, openPages: 5, budget: { ...FRESH, remaining: 0 } }, 1],
    ['a slice longer than the list', 500, { isSweepDue: true }, 10],
    ['a small account', 200, {}, 5],
    ['a small account and a slice due', 200, { isSweepDue: true }, 5],
    ['one page', 50, { isSweepDue: true }, 1],
    ['no page', 0, {}, 1],
  ])('with %s of %d jobs', (_, total, change, requests) => {
    expect(incrementalRun(total, 50, { ...quiet, ...change }).requests).toBe(requests)
  })
})

describe('the cost', () => {
  const whole = fullPass(100_000, 50, 0)

  test('without a limit is the time of the requests', () => {
    expect(costOf(whole, null, 20)).toEqual({
      requests: 2001,
      shareOfWindow: null,
      windows: null,
      durationMs: 2001 * 20,
    })
  })

  test('of 100,000 jobs with 150 of 300 requests every 15 minutes is 14 windows', () => {
    // 150 now, then 148 of 150 in each of 12 windows, then the last 75 and the two that are sent again.
    expect(costOf(whole, FRESH, 20)).toEqual({
      requests: 2001 + 13 * 2,
      shareOfWindow: 2027 / 300,
      windows: 14,
      durationMs: 13 * 900_000 + 77 * 20,
    })
  })

  test('of a run that fits into what is left is the time of its requests', () => {
    expect(costOf({ pages: 150, requests: 150, againAfterWait: 2 }, FRESH, 20)).toMatchObject({
      windows: 1,
      durationMs: 3000,
    })
  })

  test('begins with the wait where others have used the window up', () => {
    const budget = { ...FRESH, remaining: 0, resetInMs: 60_000 }

    expect(costOf({ pages: 1, requests: 1, againAfterWait: 0 }, budget, 20)).toMatchObject({
      requests: 1,
      windows: 1,
      durationMs: 60_020,
    })
  })

  test('of requests slower than the budget is their own time', () => {
    expect(costOf({ pages: 300, requests: 300, againAfterWait: 0 }, FRESH, 10_000)).toMatchObject({
      windows: 2,
      durationMs: 3_000_000,
    })
  })

  test('is that of going through the windows one by one', () => {
    const budget = fc.record({
      limit: fc.integer({ min: 1, max: 50 }),
      remaining: fc.nat(50),
      resetInMs: fc.nat(1000),
      windowMs: fc.integer({ min: 1, max: 1000 }),
      reserve: fc.constantFrom(0, 0.5, 0.9),
    })
    const reading = fc.record({
      pages: fc.nat(500),
      requests: fc.integer({ min: 1, max: 500 }),
      againAfterWait: fc.nat(5),
    })
    fc.assert(
      fc.property(reading, budget, fc.nat(100), (read, given, latencyMs) => {
        fc.pre(Math.floor(given.limit * (1 - given.reserve) + 1e-9) > read.againAfterWait)
        const { windows, requests, durationMs } = costOf(read, given, latencyMs)

        expect({ windows, requests, durationMs }).toEqual(walkThrough(read, given, latencyMs))
      }),
    )
  })
})

function walkThrough(
  { requests, againAfterWait }: { requests: number; againAfterWait: number },
  { limit, remaining, resetInMs, windowMs, reserve }: StartingBudget,
  latencyMs: number,
) {
  const share = Math.floor(limit * (1 - reserve) + 1e-9)
  const first = Math.min(share, remaining, requests)
  let [left, now, windowEnd, sent, windows] = [requests - first, first * latencyMs, resetInMs, first, first > 0 ? 1 : 0]
  while (left > 0) {
    now = Math.max(now, windowEnd)
    windowEnd = now + windowMs
    const taken = Math.min(left, share - againAfterWait)
    left -= taken
    sent += taken + againAfterWait
    now += (taken + againAfterWait) * latencyMs
    windows += 1
  }
  return { windows, requests: sent, durationMs: now }
}

describe('reading the items of batches', () => {
  const facts = { perRun: 50, intervalMs: 300_000, listRequests: 1, budget: FRESH, latencyMs: 100 }

  test("is limited by the half of our share that is not the list's: 72 of 75 requests in 15 minutes, beside three of the list", () => {
    expect(resultsCost(7_200, facts)).toEqual({ requests: 7_200, perRun: 24, durationMs: 299 * 300_000 + 25 * 100 })
  })

  test.each([
    ['by RESULTS_PER_RUN where there is no limit', { budget: null }, 50],
    ['by half of the time between two runs', { budget: null, latencyMs: 10_000 }, 14],
    ['to one where a request takes longer than that', { budget: null, latencyMs: 600_000 }, 1],
    ['by the share of one window where runs are rarer than windows', { intervalMs: 3_600_000 }, 50],
    ['by that share also with more a run', { intervalMs: 3_600_000, perRun: 500 }, 74],
    ['by what the list needs', { listRequests: 10 }, 15],
    ['by the requests of other accounts for their lists', { accounts: 10 }, 15],
    ['by other accounts that read', { accounts: 10, readers: 5 }, 3],
  ])('is limited %s', (_, change, perRun) => {
    expect(resultsCost(1_000, { ...facts, ...change }).perRun).toBe(perRun)
  })

  test('never ends where the lists need all of it, and takes no time where nothing is due', () => {
    expect(resultsCost(10, { ...facts, listRequests: 40 })).toEqual({ requests: 10, perRun: 0, durationMs: null })
    expect(resultsCost(0, facts)).toEqual({ requests: 0, perRun: 24, durationMs: 0 })
  })

  test('that is less than one a run goes on in some of the runs', () => {
    expect(resultsCost(10, { ...facts, accounts: 25, readers: 2 })).toMatchObject({ perRun: 0, durationMs: null })
    expect(resultsCost(10, { ...facts, accounts: 24, readers: 2 })).toMatchObject({
      perRun: 0.5,
      durationMs: 19 * 300_000 + 150,
    })
  })
})
