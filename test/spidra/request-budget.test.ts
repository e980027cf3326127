import { getEventListeners } from 'node:events'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { TIMING } from '../../src/config/scale.js'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import { readRateLimit, readRetryAfterMs } from '../../src/spidra/rate-limit-headers.js'
import { type BudgetWait, createRequestBudget, type RequestBudget } from '../../src/spidra/request-budget.js'

const signal = new AbortController().signal
const SILENCE = { isRateLimited: false, retryAfterMs: null }
const NOON = Date.parse('2026-03-01T12:00:00Z')

/**
 * Sends requests, `atOnce` in flight, until each was answered with 200. Returns the status and figures of every answer.
 */
async function sendThrough(api: Simulator, budget: RequestBudget, { requests, atOnce }: Record<string, number>) {
  const answers: { status: number; remaining: number | null }[] = []
  let left = requests ?? 0
  async function work(): Promise<void> {
    while (left > 0) {
      left -= 1
      await budget.acquire(signal)
      const answer = await fetch(`${api.url}/batch/scrape`, { headers: { 'x-api-key': api.key } })
      await answer.text()
      const header = (name: string) => answer.headers.get(name)
      const rateLimit = readRateLimit(header, Date.now())
      const isRateLimited = answer.status === 429
      const retryAfterMs = isRateLimited ? readRetryAfterMs(header, undefined, Date.now(), 429) : null
      budget.observe(rateLimit, { isRateLimited, retryAfterMs })
      answers.push({ status: answer.status, remaining: rateLimit?.remaining ?? null })
      if (isRateLimited) left += 1
    }
  }
  await Promise.all(Array.from({ length: atOnce ?? 1 }, work))
  return answers
}

/** A budget whose clock moves only when the test sets it. */
function stopped(options: { readonly requests: number | null; readonly reserve?: number }) {
  const clock = { now: NOON }
  const waits: BudgetWait[] = []
  const budget = createRequestBudget({
    timing: TIMING,
    windowMs: 60_000,
    reserve: 0.5,
    ...options,
    now: () => clock.now,
    random: () => 0,
    onWait: (wait) => waits.push(wait),
  })
  return { budget, clock, waits }
}

describe('against a server with a rate limit', () => {
  test('leaves the reserve in every window, with several requests in flight', async () => {
    await using api = await startSimulator({ jobs: 1, rateLimit: { limit: 20, windowMs: 300 } })
    const budget = createRequestBudget({ timing: TIMING, requests: 300, windowMs: 300, reserve: 0.5 })

    const answers = await sendThrough(api, budget, { requests: 25, atOnce: 8 })

    expect(answers).toHaveLength(25)
    expect(Math.min(...answers.map(({ remaining }) => remaining ?? 0))).toBeGreaterThanOrEqual(10)
  })

  test('gets one 429 after others have used the window up, and goes on when it is over', async () => {
    await using api = await startSimulator({ jobs: 1, rateLimit: { limit: 20, windowMs: 1000 } })
    const waits: BudgetWait[] = []
    const budget = createRequestBudget({
      timing: TIMING,
      requests: 300,
      windowMs: 1000,
      reserve: 0.5,
      onWait: (wait) => waits.push(wait),
    })
    api.spend(20)

    const answers = await sendThrough(api, budget, { requests: 8, atOnce: 8 })

    expect(answers.map(({ status }) => status)).toEqual([429, ...Array(8).fill(200)])
    expect(waits).toHaveLength(1)
  })

  test('counts by itself if the server reports nothing, and never begins a window too early', async () => {
    await using api = await startSimulator({ jobs: 1, rateLimit: { limit: 10, windowMs: 300, headers: 'none' } })
    const waits: BudgetWait[] = []
    const budget = createRequestBudget({
      timing: TIMING,
      requests: 10,
      windowMs: 300,
      reserve: 0,
      onWait: (wait) => waits.push(wait),
    })

    const answers = await sendThrough(api, budget, { requests: 35, atOnce: 8 })

    expect(answers.map(({ status }) => status)).toEqual(Array(35).fill(200))
    expect(waits.length).toBeLessThanOrEqual(3)
    expect(budget.reported()).toBeNull()
  })
})

describe('acquire', () => {
  test('rejects at once with the reason of the signal, and takes nothing', async () => {
    const { budget, clock } = stopped({ requests: 2 })
    await budget.acquire(signal)
    budget.observe(null, SILENCE)
    const stop = new AbortController()
    const waiting = budget.acquire(stop.signal)
    const reason = new Error('stop')

    stop.abort(reason)

    await expect(waiting).rejects.toBe(reason)
    await expect(budget.acquire(stop.signal)).rejects.toBe(reason)
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
    clock.now += 60_000
    expect(budget.mayGo()).toBe(true)
  })

  test('grants the requests that wait for the first answer when it comes', async () => {
    const { budget, waits } = stopped({ requests: 300 })
    await budget.acquire(signal)
    const waiting = Promise.all([budget.acquire(signal), budget.acquire(signal)])
    expect(budget.mayGo()).toBe(false)

    budget.observe({ limit: 300, remaining: 299, resetInMs: 60_000 }, SILENCE)

    await waiting
    expect(waits).toEqual([])
  })

  test('of a request that was never sent is returned by observing it with nulls', async () => {
    const { budget } = stopped({ requests: null })
    await budget.acquire(signal)
    expect(budget.mayGo()).toBe(false)

    budget.observe(null, SILENCE)

    expect(budget.mayGo()).toBe(true)
  })
})

test('reports a wait once a window, with the time when it ends', async () => {
  const { budget, clock, waits } = stopped({ requests: 300 })
  for (const minutes of [0, 1]) {
    clock.now = NOON + minutes * 60_000
    await budget.acquire(signal)
    budget.observe({ limit: 300, remaining: 0, resetInMs: 60_000 }, SILENCE)
    const stop = new AbortController()
    void Promise.allSettled([budget.acquire(stop.signal), budget.acquire(stop.signal)])
    stop.abort()
  }

  expect(waits).toEqual([
    { waitMs: 60_000, resumeAt: new Date(NOON + 60_000) },
    { waitMs: 60_000, resumeAt: new Date(NOON + 120_000) },
  ])
})

test('the time of a wait is that of the clock, also after the clock was set', async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 3_600_000 })
  onTestFinished(() => void vi.useRealTimers())
  const waits: BudgetWait[] = []
  const budget = createRequestBudget({
    ...{ timing: TIMING, requests: 1, windowMs: 60_000, reserve: 0, random: () => 0 },
    onWait: (wait) => waits.push(wait),
  })
  await budget.acquire(signal)
  budget.observe(null, SILENCE)
  const stop = new AbortController()
  const waiting = budget.acquire(stop.signal)
  stop.abort()
  await expect(waiting).rejects.toThrow()

  const [{ waitMs, resumeAt } = { waitMs: 0, resumeAt: new Date(0) }] = waits
  expect(resumeAt.getTime() - waitMs).toBe(Date.now())
})

test('shows what the API last reported', async () => {
  const { budget, clock } = stopped({ requests: 300 })
  expect(budget.reported()).toBeNull()

  budget.observe({ limit: 300, remaining: 120, resetInMs: 30_000 }, SILENCE)
  budget.observe(null, SILENCE)
  expect(budget.reported()).toEqual({ limit: 300, remaining: 120, resetInMs: 30_000 })
  clock.now += 40_000
  expect(budget.reported()).toEqual({ limit: 300, remaining: 120, resetInMs: -10_000 })

  budget.observe({ limit: 300, remaining: 119, resetInMs: null }, SILENCE)
  expect(budget.reported()).toEqual({ limit: 300, remaining: 119, resetInMs: null })
})

test('an abort by the onWait listener ends the wait at once', async () => {
  const stop = new AbortController()
  const budget = createRequestBudget({
    timing: TIMING,
    requests: 1,
    windowMs: 60_000,
    reserve: 0,
    onWait: () => stop.abort(new Error('enough')),
  })
  await budget.acquire(stop.signal)
  budget.observe(null, { isRateLimited: false, retryAfterMs: null })

  await expect(budget.acquire(stop.signal)).rejects.toThrow('enough')
})

describe('room for a run', () => {
  const reported = (remaining: number) => ({ limit: 300, remaining, resetInMs: 1_000 })

  test('is what is left of our share', async () => {
    const { budget, clock } = stopped({ requests: 300 })
    expect(budget.hasRoomFor(10)).toBe(true)
    for (let request = 1; request <= 145; request += 1) {
      await budget.acquire(signal)
      budget.observe({ limit: 300, remaining: 300 - request, resetInMs: 600_000 }, SILENCE)
    }
    expect([budget.hasRoomFor(5), budget.hasRoomFor(6)]).toEqual([true, false])
    expect([budget.roomInMs(5), budget.roomInMs(6)]).toEqual([0, 600_000])

    for (let request = 146; request <= 150; request += 1) await budget.acquire(signal)
    clock.now += 5_000
    expect(budget.roomInMs(1)).toBe(595_000)
  })

  test('is back with the next window, however late the requests of the last one were', async () => {
    const { budget, clock } = stopped({ requests: 300, reserve: 0.9 })
    for (let request = 1; request <= 24; request += 1) {
      await budget.acquire(signal)
      // So near its end that each may count for the next window.
      budget.observe(reported(300 - request), SILENCE)
    }
    expect(budget.hasRoomFor(10)).toBe(false)

    clock.now += 10_000

    expect(budget.hasRoomFor(10)).toBe(true)
  })

  test('is there if a whole share is left, even if a run needs more', () => {
    expect(stopped({ requests: 12 }).budget.hasRoomFor(10)).toBe(true)
    expect(stopped({ requests: null }).budget.hasRoomFor(1_000_000)).toBe(true)
  })

  test('says how long until it is back, after the share is used up or too little is left', async () => {
    const { budget, clock } = stopped({ requests: 300 })
    expect(budget.roomInMs(10)).toBe(0)
    const left = async (remaining: number) => {
      await budget.acquire(signal)
      budget.observe({ limit: 300, remaining, resetInMs: 60_000 }, SILENCE)
      return budget.roomInMs(10)
    }
    expect([await left(200), await left(7), await left(0)]).toEqual([0, 60_000, 60_000])

    clock.now += 60_000

    expect(budget.roomInMs(10)).toBe(0)
  })
})

describe('the budget as shown to others', () => {
  test('is what the API last reported', async () => {
    const { budget } = stopped({ requests: 300 })
    expect(budget.known()).toBeNull()
    await budget.acquire(signal)
    budget.observe({ limit: 200, remaining: 17, resetInMs: 10_000 }, SILENCE)

    expect(budget.known()).toEqual({ limit: 200, remaining: 17, resetInMs: 10_000 })
  })

  test('is our own count if the API reports nothing, and null if there is no limit', async () => {
    const { budget, clock } = stopped({ requests: 300 })
    const unlimited = stopped({ requests: null }).budget
    for (const one of [budget, unlimited, budget]) {
      await one.acquire(signal)
      one.observe(null, SILENCE)
    }

    expect(budget.known()).toEqual({ limit: 300, remaining: 298, resetInMs: 60_000 })
    expect(unlimited.known()).toBeNull()
    clock.now += 60_000
    expect(budget.known()).toMatchObject({ limit: 300, remaining: 300 })
  })
})
