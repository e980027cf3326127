import { describe, expect, test } from 'vitest'
import { TIMING } from '../../src/config/scale.js'
import { startSimulator } from '../../src/simulator/server.js'
import type { SpidraClientOptions } from '../../src/spidra/client.js'
import { type BudgetWait, createRequestBudget } from '../../src/spidra/request-budget.js'
import { type Answer, clientOf, dropped, emptyList, fakeSpidra, reply } from '../support/fake-spidra.js'

const signal = new AbortController().signal
const ask = { page: 1, limit: 50, signal }

const TOO_MANY = { status: 'error', message: 'Too many requests, please try again later.' }
const refused = (headers: Readonly<Record<string, string>> = {}): Answer => reply(429, TOO_MANY, headers)

/** Options of a client with a budget of its own, and the waits of that budget. */
function patient({ requests = null, windowMs = 40 }: { requests?: number | null; windowMs?: number } = {}) {
  const waits: BudgetWait[] = []
  const budget = createRequestBudget({
    timing: TIMING,
    requests,
    windowMs,
    reserve: 0,
    onWait: (wait) => waits.push(wait),
  })
  const options: Partial<SpidraClientOptions> = { requestRetries: 0, budget }
  return { waits, options }
}

describe('a 429 that does not say how long to wait', () => {
  test.each([
    { requests: null, limit: 1, windowMs: 30, requestRetries: 0 },
    { requests: null, limit: 3, windowMs: 200, requestRetries: 0 },
    { requests: null, limit: 2, windowMs: 80, requestRetries: 2 },
    { requests: 100, limit: 2, windowMs: 120, requestRetries: 0 },
  ])('costs one request a window and no retry: %o', async ({ requests, limit, windowMs, requestRetries }) => {
    const rateLimit = { limit, windowMs, headers: 'none', retryAfter: 'none' } as const
    await using api = await startSimulator({ jobs: 10, rateLimit })
    const { options } = patient({ requests, windowMs })
    const client = clientOf(api, { ...options, apiKey: api.key, requestRetries })

    for (let page = 1; page <= 3 * limit + 1; page += 1) await client.listPage({ page, limit: 1, signal })

    const outcomes = api.requests.map(({ status }) => status)
    expect(outcomes.filter((status) => status === 200)).toHaveLength(3 * limit + 1)
    // A window that we begin late by our own wait may hold fewer of ours.
    expect(outcomes.filter((status) => status === 429).length).toBeLessThanOrEqual(4)
  })

  test.each([
    ['no header', refused()],
    ['Retry-After: 0', refused({ 'retry-after': '0' })],
    ['a date that has passed', refused({ 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' })],
    ['retry_after: 0', reply(429, { ...TOO_MANY, retry_after: 0 })],
    ['a reset that has passed', refused({ 'ratelimit-reset': '1445412480' })],
  ])('is waited out for a whole window: %s', async (_, answer) => {
    await using api = await fakeSpidra([answer, emptyList()])
    const { waits, options } = patient({ windowMs: 150 })

    await expect(clientOf(api, options).listPage(ask)).resolves.toMatchObject({ fault: null })

    expect(waits).toHaveLength(1)
    expect(waits[0]?.waitMs).toBeGreaterThan(100)
    expect(api.requests).toHaveLength(2)
  })
})

describe('a 429, with a budget,', () => {
  test('that says how long is waited out for that time, and costs no retry', async () => {
    await using api = await fakeSpidra([refused({ 'retry-after': '0.2' }), emptyList()])
    const { waits, options } = patient({ windowMs: 60_000 })

    await expect(clientOf(api, options).listPage(ask)).resolves.toMatchObject({ fault: null })

    expect(waits[0]?.waitMs).toBeLessThan(400)
    expect(api.requests).toHaveLength(2)
  })

  test('is free even after other failures have used up the retries', async () => {
    await using api = await fakeSpidra([dropped, refused(), reply(500, ''), refused(), refused(), emptyList()])
    const { options } = patient()
    const attempts: number[] = []

    const client = clientOf(api, { ...options, requestRetries: 2, onRequest: ({ attempt }) => attempts.push(attempt) })

    await expect(client.listPage(ask)).resolves.toMatchObject({ fault: null })
    expect(attempts).toEqual([1, 2, 3, 4, 5, 6])
  })

  test.each([0, 1, 2])('uses up none of the %d retries', async (requestRetries) => {
    await using api = await fakeSpidra([refused(), refused(), reply(500, '')])
    const { options } = patient()

    const answer = clientOf(api, { ...options, requestRetries }).listPage(ask)

    await expect(answer).rejects.toMatchObject({ code: 'server_error' })
    expect(api.requests).toHaveLength(2 + 1 + requestRetries)
  })

  test('is given up after eight windows in which others left nothing', async () => {
    await using api = await fakeSpidra([refused()])
    const { waits, options } = patient({ windowMs: 10 })

    await expect(clientOf(api, options).listPage(ask)).rejects.toMatchObject({ code: 'rate_limited' })

    expect(api.requests).toHaveLength(9)
    expect(waits).toHaveLength(8)
  })

  test('ends at once on an abort', async () => {
    await using api = await fakeSpidra([refused()])
    const stop = new AbortController()
    const budget = createRequestBudget({
      timing: TIMING,
      requests: null,
      windowMs: 60_000,
      reserve: 0,
      onWait: () => stop.abort(new Error('enough')),
    })

    const answer = clientOf(api, { requestRetries: 0, budget }).listPage({ ...ask, signal: stop.signal })

    await expect(answer).rejects.toThrow('enough')
    expect(api.requests).toHaveLength(1)
  })
})

test('a 429 without a budget is a failure like others, because nothing counts the window', async () => {
  await using api = await fakeSpidra([refused()])

  await expect(clientOf(api, { requestRetries: 1 }).listPage(ask)).rejects.toMatchObject({ code: 'rate_limited' })

  expect(api.requests).toHaveLength(2)
})
