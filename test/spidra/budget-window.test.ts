import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TIMING } from '../../src/config/scale.js'
import {
  afterAnswer,
  afterSending,
  type BudgetAnswer,
  type BudgetWindow,
  firstWindow,
  outlookOf,
  rollWindow,
  shareOf,
} from '../../src/spidra/budget-window.js'
import { runThrough, type Scene } from '../support/fixed-window.js'

const RUNS = { numRuns: Number(process.env.BUDGET_RUNS ?? 500) }

const NOW = 1_700_000_000_000
const WINDOW_MS = 900_000
const SILENCE: BudgetAnswer = { rateLimit: null, isRateLimited: false, retryAfterMs: null }

function told(remaining: number, resetInMs: number | null, limit = 300): BudgetAnswer {
  return { ...SILENCE, rateLimit: { limit, remaining, resetInMs } }
}

function refused(change: Partial<BudgetAnswer> = {}): BudgetAnswer {
  return { ...SILENCE, isRateLimited: true, ...change }
}

function send(window: BudgetWindow, times = 1, now = NOW): BudgetWindow {
  return times === 0 ? window : send(afterSending(rollWindow(window, now), now), times - 1, now)
}

/** Sends a request and answers it. */
function ask(window: BudgetWindow, answer: BudgetAnswer, now = NOW): BudgetWindow {
  return afterAnswer(send(window, 1, now), answer, now, WINDOW_MS)
}

function outlook(window: BudgetWindow, { now = NOW, reserve = 0.5 } = {}) {
  return outlookOf(rollWindow(window, now), reserve, now)
}

const GO = { mayGo: true }
const until = (resumeAt: number | null) => ({ mayGo: false, resumeAt })

describe('our share', () => {
  test.each([
    [300, 0.5, 150],
    [300, 0.9, 30],
    [300, 0, 300],
    [3, 0.5, 1],
    [1, 0.95, 1],
    [0, 0.5, 1],
  ])('of %d with a reserve of %d is %d', (limit, reserve, share) => {
    expect(shareOf(limit, reserve)).toBe(share)
  })

  test('is what the formula of the design gives, whole requests only', () => {
    const figures = fc.tuple(fc.nat(300), fc.nat(300), fc.nat(300), fc.constantFrom(0, 0.25, 0.5, 0.95))
    fc.assert(
      fc.property(figures, ([limit, ours, others, reserve]) => {
        const remaining = limit - ours - others
        fc.pre(limit > 1 / (1 - reserve) && remaining >= 0)
        const mayGo = remaining - 1 >= Math.max(0, reserve * limit - others)
        const window = { ...ask(firstWindow(300, TIMING), told(remaining, 60_000, limit)), ours }

        expect(outlook(window, { reserve }).mayGo).toBe(mayGo)
      }),
    )
  })
})

describe('what is known', () => {
  test('at first is nothing: one request finds out, the others wait for it', () => {
    const window = firstWindow(300, TIMING)

    expect(outlook(window)).toEqual(GO)
    expect(outlook(send(window))).toEqual(until(null))
  })

  test('without headers is what we sent ourselves, from the first answer for the length of a window', () => {
    let window = ask(firstWindow(20, TIMING), SILENCE)
    window = send(window, 9)

    expect(outlook(window)).toEqual(until(NOW + WINDOW_MS))
    expect(outlook(window, { now: NOW + WINDOW_MS - 1 }).mayGo).toBe(false)
    const answered = Array.from({ length: 9 }).reduce<BudgetWindow>(
      (last) => afterAnswer(last, SILENCE, NOW + 1, WINDOW_MS),
      window,
    )
    expect(outlook(answered, { now: NOW + WINDOW_MS })).toEqual(GO)
  })

  test('without headers and without a local window bounds nothing', () => {
    expect(outlook(send(ask(firstWindow(null, TIMING), SILENCE), 1000))).toEqual(GO)
  })

  test('from headers wins over the local window, also where there is none', () => {
    for (const limit of [20, null, 1000]) {
      const window = ask(firstWindow(limit, TIMING), told(299, 60_000))

      expect(outlook(send(window, 148))).toEqual(GO)
      expect(outlook(send(window, 149))).toEqual(until(NOW + 60_000))
    }
  })

  test('of a reset is the earliest told: seconds are rounded up, and answers are slow', () => {
    const window = ask(ask(firstWindow(300, TIMING), told(1, 60_000)), told(0, 60_000), NOW + 700)

    expect(outlook(window, { now: NOW + 800 })).toEqual(until(NOW + 60_000))
  })
})

describe('others', () => {
  test('who take no more than the reserve leave us our share', () => {
    const window = ask(firstWindow(300, TIMING), told(149, 60_000))

    expect(outlook(send(window, 100))).toEqual(until(null))
    expect(outlook({ ...window, ours: 149, remaining: 1 })).toEqual(GO)
  })

  test('who take more leave us what is left', () => {
    expect(outlook(ask(firstWindow(300, TIMING), told(7, 60_000)))).toEqual(GO)
    expect(outlook(ask(firstWindow(300, TIMING), told(0, 60_000)))).toEqual(until(NOW + 60_000))
  })

  test('who send as fast as we do meet us one by one near the end', () => {
    const window = ask(firstWindow(300, TIMING), told(3, 60_000))

    expect(outlook(send(window, 1))).toEqual(GO)
    expect(outlook(send(window, 2))).toEqual(until(null))
  })
})

describe('a new window', () => {
  const spent = ask(firstWindow(20, TIMING), told(0, 60_000, 20))

  test('is assumed full once the reset has passed, and one request finds out', () => {
    const now = NOW + 60_000

    expect(outlook(spent, { now })).toEqual(GO)
    expect(outlook(send(spent, 1, now), { now })).toEqual(until(null))
    expect(outlook(ask(spent, told(19, 60_000, 20), now), { now })).toEqual(GO)
  })

  test('shows by a rise of what remains', () => {
    const half = send(ask(firstWindow(20, TIMING), told(12, 60_000, 20)), 1)
    const next = afterAnswer(half, told(19, 60_000, 20), NOW, WINDOW_MS)

    expect(next).toMatchObject({ number: 2, ours: 1, remaining: 19 })
  })

  test('does not show by the rise of an answer that others have overtaken', () => {
    const window = send(ask(firstWindow(20, TIMING), told(12, 60_000, 20)), 2)
    const first = afterAnswer(window, told(10, 60_000, 20), NOW, WINDOW_MS)
    const second = afterAnswer(first, told(11, 60_000, 20), NOW, WINDOW_MS)

    expect(second).toMatchObject({ number: 1, ours: 3, remaining: 10 })
  })

  test('shows by a reset that has moved, whatever overtook what', () => {
    const window = send(ask(firstWindow(300, TIMING), told(100, 5_000)), 2)
    const next = afterAnswer(window, told(50, 900_000), NOW, WINDOW_MS)

    expect(next).toMatchObject({ number: 2, remaining: 50, endsAt: NOW + 900_000 })
    expect(afterAnswer(next, told(99, 5_000), NOW, WINDOW_MS)).toMatchObject({ number: 2, remaining: 50 })
  })

  test('counts what is in flight when it begins', () => {
    const window = send(ask(firstWindow(300, TIMING), told(299, 60_000)), 4)

    expect(rollWindow(window, NOW + 60_000)).toMatchObject({ number: 2, ours: 4 })
  })

  test('counts what was sent when it may have begun already, until an answer shows that it had not', () => {
    let window = ask(firstWindow(300, TIMING), told(299, 60_000))
    for (const remaining of [298, 297, 296]) window = ask(window, told(remaining, 1_500), NOW + 58_500)
    const next = send(window, 1, NOW + 60_000)

    expect(next).toMatchObject({ number: 2, ours: 4 })
    expect(afterAnswer(next, told(299, 60_000), NOW + 60_000, WINDOW_MS)).toMatchObject({ ours: 1 })
    expect(afterAnswer(next, told(200, 60_000), NOW + 60_000, WINDOW_MS)).toMatchObject({ ours: 4 })
  })

  test('has not begun where the answer says that the old one ends just now', () => {
    const now = NOW + 60_000
    const window = ask(ask(firstWindow(20, TIMING), told(9, 60_000, 20)), told(8, 0, 20), now)

    expect(outlook(window, { now })).toEqual(until(now + 1_000))
    expect(outlook(send(window, 1, now + 1_000), { now: now + 1_000 })).toEqual(until(null))
    expect(outlook(ask(window, told(19, 60_000, 20), now + 1_000), { now: now + 1_000 })).toEqual(GO)
  })

  test('of a server that tells nothing any more is counted here', () => {
    const now = NOW + 60_000
    const window = ask(spent, SILENCE, now)

    expect(outlook(send(window, 8, now), { now })).toEqual(GO)
    expect(outlook(send(window, 9, now), { now })).toEqual(until(now + WINDOW_MS))
  })

  test('is not found out by an answer of the old one', () => {
    const now = NOW + 60_000
    const late = send(ask(firstWindow(20, TIMING), told(12, 60_000, 20)), 2)

    expect(outlook(afterAnswer(late, told(10, 1_000, 20), now, WINDOW_MS), { now })).toEqual(until(null))
  })
})

describe('after a 429', () => {
  const window = ask(firstWindow(300, TIMING), told(200, 60_000))

  test.each([
    ['Retry-After', refused({ retryAfterMs: 30_000 }), 30_000],
    ['the reset', refused({ rateLimit: told(0, 45_000).rateLimit }), 45_000],
    ['a window, when nothing is told', refused(), WINDOW_MS],
  ])('nothing goes for the time of %s, then one finds out', (_, answer, waitMs) => {
    const blocked = ask(window, answer)
    const now = NOW + waitMs

    expect(outlook(blocked, { now: now - 1 })).toEqual(until(now))
    expect(outlook(blocked, { now })).toEqual(GO)
    expect(outlook(send(blocked, 1, now), { now })).toEqual(until(null))
  })

  test('an answer that comes late lets nothing go', () => {
    const blocked = afterAnswer(send(window, 2), refused({ retryAfterMs: 30_000 }), NOW, WINDOW_MS)

    expect(outlook(afterAnswer(blocked, told(199, 60_000), NOW, WINDOW_MS))).toEqual(until(NOW + 30_000))
  })

  test('a second one that knows less does not shorten the wait', () => {
    const blocked = afterAnswer(send(window, 2), refused({ retryAfterMs: 30_000 }), NOW, WINDOW_MS)

    expect(outlook(afterAnswer(blocked, refused({ retryAfterMs: 1_000 }), NOW, WINDOW_MS))).toEqual(until(NOW + 30_000))
  })

  test('that tells of a rest, the window and what we took of it go on', () => {
    const busy = { ...window, ours: 101 }
    const blocked = ask(busy, refused({ ...told(198, 60_000), isRateLimited: true, retryAfterMs: 1_000 }))
    const after = ask(blocked, told(197, 59_000), NOW + 1_000)

    expect(after).toMatchObject({ number: 1, ours: 103, isUnsure: false })
  })

  test('without a limit of our own nothing goes for a window either, then one finds out', () => {
    const blocked = ask(firstWindow(null, TIMING), refused())
    const now = NOW + WINDOW_MS

    expect(outlook(blocked, { now: now - 1 })).toEqual(until(now))
    expect(outlook(blocked, { now })).toEqual(GO)
    expect(outlook(send(blocked, 1, now), { now })).toEqual(until(null))
    expect(outlook(send(ask(blocked, SILENCE, now), 5, now), { now })).toEqual(GO)
  })
})

describe('against a server with a fixed window', () => {
  const way = fc.tuple(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 400 }))
  const scene = fc.record({
    limit: fc.integer({ min: 2, max: 60 }),
    windowMs: fc.constantFrom(300, 1_000, 7_300, 60_000, 900_000),
    reserve: fc.constantFrom(0, 0.1, 0.5, 0.9, 0.95),
    concurrency: fc.integer({ min: 1, max: 8 }),
    work: fc.integer({ min: 1, max: 200 }),
    ways: fc.array(way, { minLength: 1, maxLength: 12 }),
    paces: fc.array(fc.constantFrom(0, 0, 10, 1_000, 20_000), { maxLength: 8 }),
    tells: fc.constant('reset' as const),
    tellsRetryAfter: fc.boolean(),
  }) satisfies fc.Arbitrary<Scene>
  const others = fc.record({
    atStart: fc.array(fc.nat(60), { maxLength: 5 }),
    along: fc.array(fc.nat(10), { maxLength: 9 }),
    leave: fc.integer({ min: 1, max: 5 }),
  })
  const isLong = ({ windowMs }: Scene) => windowMs >= 60_000

  test('that is quiet otherwise: never more than our share of a window, no 429, no window left out', () => {
    fc.assert(
      fc.property(scene, (quiet) => {
        const { windows, endedAt } = runThrough(quiet)
        const share = shareOf(quiet.limit, quiet.reserve)

        expect(Math.max(...windows.map(({ ours }) => ours))).toBeLessThanOrEqual(share)
        expect(windows.every(({ refused }) => refused === 0)).toBe(true)
        // A window takes its length, one second of rounding, and the time of a few answers.
        const longest = Math.ceil(quiet.work / share) * (quiet.windowMs + 3_000)
        if (isLong(quiet) && quiet.paces.length === 0) expect(endedAt).toBeLessThanOrEqual(longest + quiet.work * 800)
      }),
      RUNS,
    )
  })

  test('with others who come in bursts: never more than our share, and one at a time never more than one 429', () => {
    fc.assert(
      fc.property(scene, others, (busy, crowd) => {
        const { windows } = runThrough({ ...busy, others: crowd })

        expect(Math.max(...windows.map(({ ours }) => ours))).toBeLessThanOrEqual(shareOf(busy.limit, busy.reserve))
        expect(Math.max(...windows.map(({ refused }) => refused))).toBeLessThanOrEqual(busy.concurrency)
      }),
      RUNS,
    )
  })

  test('is not starved by others who leave something: each window gives as much as they leave, or our share', () => {
    fc.assert(
      fc.property(scene.filter(isLong), others, (base, crowd) => {
        const busy = { ...base, paces: [] }
        const { windows, served } = runThrough({ ...busy, others: crowd })
        const gain = Math.min(crowd.leave, shareOf(busy.limit, busy.reserve))

        expect(served).toBeGreaterThanOrEqual(busy.work)
        expect(windows.length).toBeLessThanOrEqual(Math.ceil(busy.work / gain))
      }),
      RUNS,
    )
  })

  test('that tells no reset, nothing at all, or a time rounded down: the work ends, and no window has two 429', () => {
    const terse = fc.constantFrom('remaining' as const, 'nothing' as const, 'floor' as const)
    fc.assert(
      fc.property(scene, terse, others, (base, tells, crowd) => {
        const busy = { ...base, tells, tellsRetryAfter: true, concurrency: 1 }
        const { windows, served } = runThrough({ ...busy, others: crowd })

        expect(served).toBeGreaterThanOrEqual(busy.work)
        expect(Math.max(...windows.map(({ refused }) => refused))).toBeLessThanOrEqual(1)
        // The request that finds out that a window is not over is one of it.
        expect(Math.max(...windows.map(({ ours }) => ours))).toBeLessThanOrEqual(shareOf(busy.limit, busy.reserve) + 1)
      }),
      RUNS,
    )
  })

  test('that says nothing at all, and no limit is configured: the work ends, and a window costs one 429', () => {
    fc.assert(
      fc.property(scene, fc.option(others, { nil: undefined }), (base, crowd) => {
        const silent = { ...base, knows: null, tells: 'nothing' as const, tellsRetryAfter: false, concurrency: 1 }
        const { windows, served } = runThrough({ ...silent, ...(crowd ? { others: crowd } : {}) })

        expect(served).toBeGreaterThanOrEqual(silent.work)
        expect(Math.max(...windows.map(({ refused }) => refused))).toBeLessThanOrEqual(1)
      }),
      RUNS,
    )
  })

  test('whose clock is behind ours is asked once a second until its window is over', () => {
    const { windows, served } = runThrough({
      limit: 100,
      windowMs: 60_000,
      reserve: 0.5,
      concurrency: 8,
      work: 500,
      ways: [[5, 5]],
      tells: 'reset',
      tellsRetryAfter: true,
      behindMs: 10_000,
    })

    expect(served).toBe(500)
    expect(windows.every(({ refused }) => refused === 0)).toBe(true)
    expect(Math.max(...windows.map(({ ours }) => ours))).toBeLessThanOrEqual(50 + 11)
  })
})
