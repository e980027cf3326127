import { expect, test } from 'vitest'
import { TIMING } from '../../src/config/scale.js'
import { createSharedBudget, type SharedBudget } from '../../src/service/account-run.js'

const openBudget = () =>
  createSharedBudget({ timing: TIMING, rateLimit: { requests: 300, windowSeconds: 900, reserve: 0 } })

/** Waits for the next window after a spent one. Each listener is called at least once. */
async function wait({ budget }: SharedBudget): Promise<void> {
  const { signal } = new AbortController()
  for (let requests = 0; requests < 2; requests += 1) {
    await budget.acquire(signal)
    budget.observe({ limit: 300, remaining: 0, resetInMs: 1 }, { isRateLimited: false, retryAfterMs: null })
  }
}

test('calls each listener before a wait, until it stops listening', async () => {
  const shared = openBudget()
  const heard = new Set<string>()
  const stopFirst = shared.listen(() => heard.add('first'))
  const stopSecond = shared.listen(() => heard.add('second'))
  await wait(shared)
  expect([...heard]).toEqual(['first', 'second'])

  heard.clear()
  stopFirst()
  stopFirst()
  await wait(shared)
  expect([...heard]).toEqual(['second'])

  heard.clear()
  stopSecond()
  await wait(shared)
  expect([...heard]).toEqual([])
})

test('calls a function that listens twice two times, and each stop ends one of them', async () => {
  const shared = openBudget()
  const heard = { once: 0, twice: 0 }
  const hear = () => {
    heard.twice += 1
  }
  shared.listen(() => {
    heard.once += 1
  })
  shared.listen(hear)
  const stop = shared.listen(hear)
  await wait(shared)
  expect(heard.twice).toBe(2 * heard.once)

  const before = { ...heard }
  stop()
  await wait(shared)
  expect(heard.twice - before.twice).toBe(heard.once - before.once)
})
