import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TIMING } from '../../src/config/scale.js'
import {
  afterAnswer,
  afterSending,
  type BudgetAnswer,
  type BudgetWindow,
  decideSending,
  firstWindow,
  hasRoomFor,
  rollWindow,
  shareOf,
} from '../../src/spidra/budget-rules.js'
import { runThrough, type Scene } from '../support/fixed-window.js'

const RUNS = { numRuns: Number(process.env.BUDGET_RUNS ?? 500) }

const NOW = 1_700_000_000_000
const WINDOW_MS = 900_000
const SILENCE: BudgetAnswer = { rateLimit: null, isRateLimited: false, retryAfterMs: null }

function reported(remaining: number, resetInMs: number | null, limit = 300): BudgetAnswer {
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

function decide(window: BudgetWindow, { now = NOW, reserve = 0.5 } = {}) {
  return decideSending(rollWindow(window, now), reserve, now)
}

const GO = { mayGo: true }
const until = (resumeAt: number | null) => ({ mayGo: false, resumeAt })

describe('our share of a window', () => {
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

  test('follows the formula of the design, in whole requests', () => {
    const figures = fc.tuple(fc.nat(300), fc.nat(300), fc.nat(300), fc.constantFrom(0, 0.25, 0.5, 0.95))
    fc.assert(
      fc.property(figures, ([limit, ours, others, reserve]) => {
        const remaining = limit - ours - others
        fc.pre(limit > 1 / (1 - reserve) && remaining >= 0)
        const mayGo = remaining - 1 >= Math.max(0, reserve * limit - others)
        const window = { ...ask(firstWindow(300, TIMING), reported(remaining, 60_000, limit)), ours }

        expect(decide(window, { reserve }).mayGo).toBe(mayGo)
      }),
    )
  })
})

describe('what is known of the window', () => {
  test('is nothing at first: one request is the probe, and the others wait for it', () => {
    const window = firstWindow(300, TIMING)

    expect(decide(window)).toEqual(GO)
    expect(decide(send(window))).toEqual(until(null))
  })

  test('without headers is what we sent, counted from the first answer for the length of a window', () => {
    let window = ask(firstWindow(20, TIMING), SILENCE)
    window = send(window, 9)

    expect(decide(window)).toEqual(until(NOW + WINDOW_MS))
    expect(decide(window, { now: NOW + WINDOW_MS - 1 }).mayGo).toBe(false)
    const answered = Array.from({ length: 9 }).reduce<BudgetWindow>(
      (last) => afterAnswer(last, SILENCE, NOW + 1, WINDOW_MS),
      window,
    )
    expect(decide(answered, { now: NOW + WINDOW_MS })).toEqual(GO)
  })

  test('without headers does not keep a request for the next window: no answer says when that begins', () => {
    const window = send(ask(firstWindow(20, TIMING), SILENCE), 8)

    expect(decide(window, { now: NOW + WINDOW_MS - 1 })).toEqual(GO)
  })

  test('without headers and without a configured limit limits nothing, however long it takes', () => {
    const busy = send(ask(firstWindow(null, TIMING), SILENCE), 1000)

    expect(decide(busy)).toEqual(GO)
    expect(decide(busy, { now: NOW + 2 * WINDOW_MS })).toEqual(GO)
  })

  test('is what the first answer with headers reports, also after answers without any', () => {
    const silent = ask(firstWindow(20, TIMING), SILENCE)

    for (const resetInMs of [5_000, 899_000]) {
      const reportedAt = NOW + 100_000
      expect(ask(silent, reported(12, resetInMs, 20), reportedAt)).toMatchObject({
        ...{ number: 1, ours: 2, remaining: 12, endsAt: reportedAt + resetInMs },
      })
    }
  })

  test('from headers overrides the configured limit, also if none is configured', () => {
    for (const limit of [20, null, 1000]) {
      const window = ask(firstWindow(limit, TIMING), reported(299, 60_000))

      expect(decide(send(window, 148))).toEqual(GO)
      expect(decide(send(window, 149))).toEqual(until(NOW + 60_000))
    }
  })

  test('of the end is the earliest reported, because seconds are rounded up and answers are slow', () => {
    const window = ask(ask(firstWindow(300, TIMING), reported(1, 60_000)), reported(0, 60_000), NOW + 700)

    expect(decide(window, { now: NOW + 800 })).toEqual(until(NOW + 60_000))
  })
})

describe('room for a run', () => {
  const HALF = 0.5

  test('is there where no limit is known', () => {
    expect(hasRoomFor(send(ask(firstWindow(null, TIMING), SILENCE), 500), 100, HALF)).toBe(true)
  })

  test('is there for the probe of a window, and not while the probe is in flight', () => {
    const window = firstWindow(300, TIMING)

    expect(hasRoomFor(window, 200, HALF)).toBe(true)
    expect(hasRoomFor(send(window), 1, HALF)).toBe(false)
  })

  test('is the rest of our share', () => {
    const window = ask(firstWindow(300, TIMING), reported(299, 60_000))

    expect([149, 150].map((requests) => hasRoomFor(window, requests, HALF))).toEqual([true, false])
    const silent = ask(firstWindow(20, TIMING), SILENCE)
    expect([9, 10].map((requests) => hasRoomFor(silent, requests, HALF))).toEqual([true, false])
  })

  test('is what others have left, without the requests in flight', () => {
    const window = ask(firstWindow(300, TIMING), reported(10, 60_000))

    expect([10, 11].map((requests) => hasRoomFor(window, requests, HALF))).toEqual([true, false])
    expect([9, 10].map((requests) => hasRoomFor(send(window), requests, HALF))).toEqual([true, false])
  })

  test('is a whole share for a run that needs more than that', () => {
    const window = ask(firstWindow(300, TIMING), reported(299, 60_000))

    expect(hasRoomFor({ ...window, ours: 0 }, 1_000, HALF)).toBe(true)
    expect(hasRoomFor(window, 1_000, HALF)).toBe(false)
  })
})

describe('other clients', () => {
  test('that use no more than the reserve leave us our share', () => {
    const window = ask(firstWindow(300, TIMING), reported(149, 60_000))

    expect(decide(send(window, 100))).toEqual(until(null))
    expect(decide({ ...window, ours: 149, remaining: 1 })).toEqual(GO)
  })

  test('that use more than the reserve leave us the rest', () => {
    expect(decide(ask(firstWindow(300, TIMING), reported(7, 60_000)))).toEqual(GO)
    expect(decide(ask(firstWindow(300, TIMING), reported(0, 60_000)))).toEqual(until(NOW + 60_000))
  })

  test('that send as fast as we do make us send one by one near the end', () => {
    const window = ask(firstWindow(300, TIMING), reported(3, 60_000))

    expect(decide(send(window, 1))).toEqual(GO)
    expect(decide(send(window, 2))).toEqual(until(null))
  })
})

describe('a new window', () => {
  const spent = ask(firstWindow(20, TIMING), reported(0, 60_000, 20))

  test('is assumed full once the reset has passed, and one request is the probe', () => {
    const now = NOW + 60_000

    expect(decide(spent, { now })).toEqual(GO)
    expect(decide(send(spent, 1, now), { now })).toEqual(until(null))
    expect(decide(ask(spent, reported(19, 60_000, 20), now), { now })).toEqual(GO)
  })

  test('is recognised by a rise of remaining requests', () => {
    const half = send(ask(firstWindow(20, TIMING), reported(12, 60_000, 20)), 1)
    const next = afterAnswer(half, reported(19, 60_000, 20), NOW, WINDOW_MS)

    expect(next).toMatchObject({ number: 2, ours: 1, remaining: 19 })
  })

  test('is not recognised by a rise in an answer that may be older than the last one', () => {
    const window = send(ask(firstWindow(20, TIMING), reported(12, 60_000, 20)), 2)
    const first = afterAnswer(window, reported(10, 60_000, 20), NOW, WINDOW_MS)
    const second = afterAnswer(first, reported(11, 60_000, 20), NOW, WINDOW_MS)

    expect(second).toMatchObject({ number: 1, ours: 3, remaining: 10 })
  })

  test('is recognised by a rise after an answer without headers, which leaves no older one in flight', () => {
    const window = send(ask(firstWindow(20, TIMING), reported(13, 60_000, 20)), 2)
    const last = afterAnswer(afterAnswer(window, reported(12, 60_000, 20), NOW, WINDOW_MS), SILENCE, NOW, WINDOW_MS)

    expect(ask(last, reported(19, 60_000, 20))).toMatchObject({ number: 2, remaining: 19 })
  })

  test('is not recognised by an answer that repeats the remaining requests, or reports no reset', () => {
    const window = ask(firstWindow(20, TIMING), reported(12, 5_000, 20))

    expect(ask(window, reported(12, 5_000, 20))).toMatchObject({ number: 1, ours: 2 })
    expect(ask(window, reported(11, null, 20))).toMatchObject({ number: 1, ours: 2, endsAt: NOW + 5_000 })
  })

  test('is recognised by a reset that moved far, in whatever order answers come', () => {
    const window = send(ask(firstWindow(300, TIMING), reported(100, 5_000)), 2)
    const next = afterAnswer(window, reported(50, 900_000), NOW, WINDOW_MS)
    const known = { number: 2, remaining: 50, endsAt: NOW + 900_000 }

    expect(next).toMatchObject(known)
    expect(afterAnswer(next, reported(49, 5_000), NOW, WINDOW_MS)).toMatchObject(known)
  })

  test('is not recognised by a reset that moved by half a window: slow answers may cause that', () => {
    const half = WINDOW_MS / 2
    const early = ask(firstWindow(300, TIMING), reported(100, 5_000))
    const late = ask(firstWindow(300, TIMING), reported(100, 5_000 + half))

    expect(ask(early, reported(99, 5_000 + half))).toMatchObject({ number: 1, remaining: 99, endsAt: NOW + 5_000 })
    expect(ask(early, reported(99, 5_001 + half))).toMatchObject({ number: 2, remaining: 99 })
    expect(ask(late, reported(99, 5_000))).toMatchObject({ number: 1, remaining: 99, endsAt: NOW + 5_000 })
    expect(ask(late, reported(99, 4_999))).toMatchObject({ number: 1, remaining: 100, endsAt: NOW + 5_000 + half })
  })

  test('counts the requests in flight when it begins', () => {
    const window = send(ask(firstWindow(300, TIMING), reported(299, 60_000)), 4)

    expect(rollWindow(window, NOW + 60_000)).toMatchObject({ number: 2, ours: 4 })
  })

  test('counts requests sent near the old end, until an answer shows that they were not counted', () => {
    let window = ask(firstWindow(300, TIMING), reported(299, 60_000))
    for (const remaining of [298, 297, 296]) window = ask(window, reported(remaining, 1_500), NOW + 58_500)
    const next = send(window, 1, NOW + 60_000)

    expect(next).toMatchObject({ number: 2, ours: 4 })
    expect(afterAnswer(next, reported(299, 60_000), NOW + 60_000, WINDOW_MS)).toMatchObject({ ours: 1 })
    expect(afterAnswer(next, reported(200, 60_000), NOW + 60_000, WINDOW_MS)).toMatchObject({ ours: 4 })
  })

  test('has not begun if the answer reports that the old one ends just now', () => {
    const now = NOW + 60_000
    const window = ask(ask(firstWindow(20, TIMING), reported(9, 60_000, 20)), reported(8, 0, 20), now)

    expect(decide(window, { now })).toEqual(until(now + 1_000))
    expect(decide(send(window, 1, now + 1_000), { now: now + 1_000 })).toEqual(until(null))
    expect(decide(ask(window, reported(19, 60_000, 20), now + 1_000), { now: now + 1_000 })).toEqual(GO)
  })

  test('is counted on our side if the server no longer reports anything', () => {
    const now = NOW + 60_000
    const window = ask(spent, SILENCE, now)

    expect(decide(send(window, 8, now), { now })).toEqual(GO)
    expect(decide(send(window, 9, now), { now })).toEqual(until(now + WINDOW_MS))
  })

  test('is not confirmed by an answer of the old one', () => {
    const now = NOW + 60_000
    const late = send(ask(firstWindow(20, TIMING), reported(12, 60_000, 20)), 2)

    expect(decide(afterAnswer(late, reported(10, 1_000, 20), now, WINDOW_MS), { now })).toEqual(until(null))
    expect(decide(afterAnswer(late, SILENCE, now, WINDOW_MS), { now })).toEqual(until(null))
  })
})

describe('after a 429', () => {
  const window = ask(firstWindow(300, TIMING), reported(200, 60_000))

  test.each([
    ['Retry-After', refused({ retryAfterMs: 30_000 }), 30_000],
    ['the reset', refused({ rateLimit: reported(0, 45_000).rateLimit }), 45_000],
    [
      'the reset, where Retry-After is 0',
      refused({ ...reported(0, 45_000), isRateLimited: true, retryAfterMs: 0 }),
      45_000,
    ],
    ['a window, if the answer names no time', refused(), WINDOW_MS],
    ['a window, if all times are 0', refused({ ...reported(0, 0), isRateLimited: true, retryAfterMs: 0 }), WINDOW_MS],
  ])('nothing is sent for the time of %s, then one request is the probe', (_, answer, waitMs) => {
    const blocked = ask(window, answer)
    const now = NOW + waitMs

    expect(decide(blocked, { now: now - 1 })).toEqual(until(now))
    expect(decide(blocked, { now })).toEqual(GO)
    expect(decide(send(blocked, 1, now), { now })).toEqual(until(null))
  })

  test('a late answer does not end the block', () => {
    const blocked = afterAnswer(send(window, 2), refused({ retryAfterMs: 30_000 }), NOW, WINDOW_MS)

    expect(decide(afterAnswer(blocked, reported(199, 60_000), NOW, WINDOW_MS))).toEqual(until(NOW + 30_000))
  })

  test('a second 429 with a shorter time does not shorten the wait', () => {
    const blocked = afterAnswer(send(window, 2), refused({ retryAfterMs: 30_000 }), NOW, WINDOW_MS)

    expect(decide(afterAnswer(blocked, refused({ retryAfterMs: 1_000 }), NOW, WINDOW_MS))).toEqual(until(NOW + 30_000))
  })

  test('that reports nothing left, the window ends with the wait', () => {
    expect(ask(window, refused({ retryAfterMs: 90_000 }))).toMatchObject({ number: 1, endsAt: NOW + 90_000 })
  })

  test('that reports remaining requests, one request is the probe as well', () => {
    const blocked = ask(window, refused({ ...reported(198, 60_000), isRateLimited: true, retryAfterMs: 1_000 }))

    expect(decide(send(blocked, 1, NOW + 1_000), { now: NOW + 1_000 })).toEqual(until(null))
  })

  test('that reports remaining requests, the window and our count go on', () => {
    const busy = { ...window, ours: 101 }
    const blocked = ask(busy, refused({ ...reported(198, 60_000), isRateLimited: true, retryAfterMs: 1_000 }))
    const after = ask(blocked, reported(197, 59_000), NOW + 1_000)

    expect(after).toMatchObject({ number: 1, ours: 103, needsProbe: false })
  })

  test('nothing is sent for a window without a configured limit either, then one request is the probe', () => {
    const blocked = ask(firstWindow(null, TIMING), refused())
    const now = NOW + WINDOW_MS

    expect(decide(blocked, { now: now - 1 })).toEqual(until(now))
    expect(decide(blocked, { now })).toEqual(GO)
    expect(decide(send(blocked, 1, now), { now })).toEqual(until(null))
    expect(decide(send(ask(blocked, SILENCE, now), 5, now), { now })).toEqual(GO)
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
    reports: fc.constant('reset' as const),
    sendsRetryAfter: fc.boolean(),
  }) satisfies fc.Arbitrary<Scene>
  const others = fc.record({
    atStart: fc.array(fc.nat(60), { maxLength: 5 }),
    along: fc.array(fc.nat(10), { maxLength: 9 }),
    leave: fc.integer({ min: 1, max: 5 }),
  })
  const isLong = ({ windowMs }: Scene) => windowMs >= 60_000

  test('and no other clients: never more than our share of a window, no 429, no window skipped', () => {
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

  test('and others who send bursts: never more than our share, and no more 429 than requests in flight', () => {
    fc.assert(
      fc.property(scene, others, (busy, crowd) => {
        const { windows } = runThrough({ ...busy, others: crowd })

        expect(Math.max(...windows.map(({ ours }) => ours))).toBeLessThanOrEqual(shareOf(busy.limit, busy.reserve))
        expect(Math.max(...windows.map(({ refused }) => refused))).toBeLessThanOrEqual(busy.concurrency)
      }),
      RUNS,
    )
  })

  test('and others who leave something: each window gives as much as they leave, or our share', () => {
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

  test('that reports no reset, nothing at all, or a time rounded down: the work ends, and no window has two 429', () => {
    const terse = fc.constantFrom('remaining' as const, 'nothing' as const, 'floor' as const)
    fc.assert(
      fc.property(scene, terse, others, (base, reports, crowd) => {
        const busy = { ...base, reports, sendsRetryAfter: true, concurrency: 1 }
        const { windows, served } = runThrough({ ...busy, others: crowd })

        expect(served).toBeGreaterThanOrEqual(busy.work)
        expect(Math.max(...windows.map(({ refused }) => refused))).toBeLessThanOrEqual(1)
        // A probe that finds the old window still open counts for it.
        expect(Math.max(...windows.map(({ ours }) => ours))).toBeLessThanOrEqual(shareOf(busy.limit, busy.reserve) + 1)
      }),
      RUNS,
    )
  })

  test('that reports nothing, and no limit is configured: the work ends, and a window costs one 429', () => {
    fc.assert(
      fc.property(scene, fc.option(others, { nil: undefined }), (base, crowd) => {
        const silent = { ...base, knows: null, reports: 'nothing' as const, sendsRetryAfter: false, concurrency: 1 }
        const { windows, served } = runThrough({ ...silent, ...(crowd ? { others: crowd } : {}) })

        expect(served).toBeGreaterThanOrEqual(silent.work)
        expect(Math.max(...windows.map(({ refused }) => refused))).toBeLessThanOrEqual(1)
      }),
      RUNS,
    )
  })

  test('whose clock is behind ours: a probe is sent once a second until its window is over', () => {
    const { windows, served } = runThrough({
      limit: 100,
      windowMs: 60_000,
      reserve: 0.5,
      concurrency: 8,
      work: 500,
      ways: [[5, 5]],
      reports: 'reset',
      sendsRetryAfter: true,
      behindMs: 10_000,
    })

    expect(served).toBe(500)
    expect(windows.every(({ refused }) => refused === 0)).toBe(true)
    expect(Math.max(...windows.map(({ ours }) => ours))).toBeLessThanOrEqual(50 + 11)
  })
})
