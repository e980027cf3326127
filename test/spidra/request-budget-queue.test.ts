import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { TIMING } from '../../src/config/scale.js'
import { createRequestBudget } from '../../src/spidra/request-budget.js'

const SILENCE = { isRateLimited: false, retryAfterMs: null }
const WINDOW_MS = 60_000
const FOR_EVER = new AbortController().signal

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] }))
afterEach(() => void vi.useRealTimers())

/** A budget for a server that reports nothing, so that windows are as long and as large as given here. */
const budgetOf = (requests: number) =>
  createRequestBudget({ timing: TIMING, requests, windowMs: WINDOW_MS, reserve: 0, now: () => Date.now() })

/** A budget whose window is used up. */
async function spent(requests: number) {
  const budget = budgetOf(requests)
  for (let sent = 0; sent < requests; sent += 1) {
    await budget.acquire(FOR_EVER)
    budget.observe(null, SILENCE)
  }
  return budget
}

const passTime = (ms: number) => vi.advanceTimersByTimeAsync(ms)

test('waiting callers are served in order of arrival, before a later one', async () => {
  const budget = await spent(4)
  const served: string[] = []
  const ask = (name: string) =>
    budget.acquire(FOR_EVER).then(() => {
      served.push(name)
      budget.observe(null, SILENCE)
    })
  const early = ['a', 'b', 'c'].map(ask)
  // The window is over, but the timer has not fired yet.
  vi.setSystemTime(Date.now() + WINDOW_MS)
  expect(budget.mayGo()).toBe(false)

  await Promise.all([...early, ask('d')])

  expect(served).toEqual(['a', 'b', 'c', 'd'])
})

test('a caller that was served and comes again queues behind those who wait', async () => {
  const budget = await spent(3)
  const served: string[] = []
  async function work(name: string, requests: number): Promise<void> {
    for (let sent = 0; sent < requests; sent += 1) {
      await budget.acquire(FOR_EVER)
      served.push(name)
      budget.observe(null, SILENCE)
    }
  }
  const working = Promise.all([work('a', 4), work('b', 2)])

  await passTime(3 * WINDOW_MS)
  await working

  expect(served.join('')).toBe('ababaa')
})

test('a caller that leaves, even the first one, delays nobody behind it', async () => {
  const budget = await spent(3)
  const stops = [new AbortController(), new AbortController(), new AbortController()]
  const leaving = stops.map(({ signal }) => budget.acquire(signal))
  const settled = Promise.allSettled(leaving)
  const staying = budget.acquire(FOR_EVER)
  for (const stop of stops) stop.abort()
  expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])

  await passTime(WINDOW_MS + 1_000)
  await staying
  budget.observe(null, SILENCE)

  // Nothing was taken by those who left.
  expect(await Promise.all([budget.acquire(FOR_EVER), budget.acquire(FOR_EVER)])).toHaveLength(2)
  expect(vi.getTimerCount()).toBe(0)
})

test('no timer is left when all callers have left', async () => {
  const budget = await spent(1)
  const stop = new AbortController()
  const waiting = Promise.allSettled([budget.acquire(stop.signal), budget.acquire(stop.signal)])
  expect(vi.getTimerCount()).toBe(1)

  stop.abort()
  await waiting

  expect(vi.getTimerCount()).toBe(0)
})

test('callers that always want the next request get equal shares, within one, whoever leaves meanwhile', async () => {
  const caller = fc.record({ leavesAfterMs: fc.option(fc.integer({ min: 0, max: 4 * WINDOW_MS }), { freq: 3 }) })
  const property = fc.asyncProperty(
    fc.array(caller, { minLength: 2, maxLength: 7 }),
    fc.integer({ min: 1, max: 20 }),
    fc.integer({ min: 0, max: 2_000 }),
    async (callers, requests, latencyMs) => {
      const budget = budgetOf(requests)
      const stops = callers.map(() => new AbortController())
      const served = callers.map(() => 0)
      const working = stops.map(async ({ signal }, index) => {
        for (;;) {
          await budget.acquire(signal)
          served[index] = (served[index] ?? 0) + 1
          await new Promise((resolve) => setTimeout(resolve, latencyMs))
          budget.observe(null, SILENCE)
        }
      })
      const settled = Promise.allSettled(working)
      callers.forEach(({ leavesAfterMs }, index) => {
        if (leavesAfterMs !== null) setTimeout(() => stops[index]?.abort(), leavesAfterMs)
      })

      await passTime(5 * WINDOW_MS)
      for (const stop of stops) stop.abort()
      await passTime(WINDOW_MS)
      await settled

      const stayed = served.filter((_, index) => callers[index]?.leavesAfterMs === null)
      if (stayed.length > 0) {
        expect(Math.max(...stayed) - Math.min(...stayed)).toBeLessThanOrEqual(1)
        expect(stayed.reduce((sum, count) => sum + count, 0)).toBeGreaterThan(0)
      }
      await nextTurn()
    },
  )
  await fc.assert(property, { numRuns: 60 })
})
