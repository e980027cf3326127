import { getEventListeners, once } from 'node:events'
import { expect, test } from 'vitest'
import { startTimeout } from '../../src/spidra/timeout.js'

test('aborts when the time is up, and says that it was the time', async () => {
  using timeout = startTimeout(new AbortController().signal, 5)
  expect(timeout.timedOut).toBe(false)

  await once(timeout.signal, 'abort')

  expect(timeout.timedOut).toBe(true)
})

test("aborts with its parent, for the parent's reason, and was not too slow then", () => {
  const parent = new AbortController()
  using timeout = startTimeout(parent.signal, 60_000)

  parent.abort('stop')

  expect(timeout.signal.reason).toBe('stop')
  expect(timeout.timedOut).toBe(false)
})

test('is aborted from the start when its parent is', () => {
  using timeout = startTimeout(AbortSignal.abort('stopped before'), 60_000)

  expect(timeout.signal.reason).toBe('stopped before')
})

test('leaves neither timer nor listener behind', () => {
  const parent = new AbortController()
  const timersBefore = timers()

  for (let work = 0; work < 100; work += 1) {
    using timeout = startTimeout(parent.signal, 60_000)
    expect(timeout.signal.aborted).toBe(false)
    expect(timers()).toBe(timersBefore + 1)
  }

  expect(timers()).toBe(timersBefore)
  expect(getEventListeners(parent.signal, 'abort')).toEqual([])
})

function timers(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
}
