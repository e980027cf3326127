import { expect, test } from 'vitest'
import type { RateLimitOptions } from '../../src/simulator/rate-limiter.js'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import { readRateLimit, readRetryAfterMs } from '../../src/spidra/rate-limit-headers.js'

const NOON = Date.parse('2026-01-15T12:00:00Z')

/** A simulator whose clock moves only when the test sets it. */
async function limited(rateLimit: RateLimitOptions | 'off') {
  const clock = { now: NOON }
  return { api: await startSimulator({ jobs: 1, rateLimit, now: () => clock.now }), clock }
}

function get(api: Simulator, headers: Record<string, string> = { 'x-api-key': api.key }) {
  return fetch(`${api.url}/batch/scrape`, { headers })
}

function rateHeaders(answer: Response): Record<string, string> {
  return Object.fromEntries([...answer.headers].filter(([name]) => /^(x-)?(ratelimit|retry-after)/.test(name)))
}

test('counts down in a fixed window, refuses requests above the limit, and starts again', async () => {
  const { api, clock } = await limited({ limit: 2, windowMs: 60_000 })
  await using _ = api
  expect(rateHeaders(await get(api))).toEqual({
    'ratelimit-limit': '2',
    'ratelimit-remaining': '1',
    'ratelimit-reset': '60',
  })
  clock.now += 20_500
  expect(rateHeaders(await get(api))).toMatchObject({ 'ratelimit-remaining': '0', 'ratelimit-reset': '40' })

  const refused = await get(api)
  expect(refused.status).toBe(429)
  expect(await refused.json()).toEqual({ status: 'error', message: 'Too many requests, please try again later.' })
  expect(rateHeaders(refused)).toMatchObject({ 'retry-after': '40', 'ratelimit-remaining': '0' })
  expect(api.requests.at(-1)).toMatchObject({ page: 1, status: 429, fault: null })

  clock.now = NOON + 60_000
  expect(rateHeaders(await get(api))).toMatchObject({ 'ratelimit-remaining': '1', 'ratelimit-reset': '60' })
})

test('allows 300 requests per 15 minutes by default, and counts refused ones too', async () => {
  await using api = await startSimulator()
  await get(api, {})
  expect(rateHeaders(await get(api))).toEqual({
    'ratelimit-limit': '300',
    'ratelimit-remaining': '298',
    'ratelimit-reset': '900',
  })
})

test.each([
  ['legacy', { 'ratelimit-limit': '60', 'ratelimit-remaining': '59', 'ratelimit-reset': '12' }],
  ['draft7', { 'ratelimit-policy': '60;w=12', ratelimit: 'limit=60, remaining=59, reset=12' }],
  ['draft8', { 'ratelimit-policy': '"default";q=60;w=12', ratelimit: '"default";r=59;t=12' }],
  ['x', { 'x-ratelimit-limit': '60', 'x-ratelimit-remaining': '59', 'x-ratelimit-reset': '12' }],
  ['none', {}],
] as const)('reports the budget in the form %s', async (headers, expected) => {
  const { api } = await limited({ limit: 60, windowMs: 12_000, headers })
  await using _ = api
  expect(rateHeaders(await get(api))).toEqual(expected)
})

test.each([
  ['legacy', 'epoch', { 'ratelimit-reset': String(NOON / 1000 + 13) }],
  ['legacy', 'epochMs', { 'ratelimit-reset': String(NOON + 12_345) }],
  ['x', 'epoch', { 'x-ratelimit-reset': String(NOON / 1000 + 13) }],
  ['x', 'epochMs', { 'x-ratelimit-reset': String(NOON + 12_345) }],
] as const)(
  'reports the end of the window as a Unix timestamp if configured: %s, %s',
  async (headers, reset, expected) => {
    const { api } = await limited({ windowMs: 12_345, headers, reset })
    await using _ = api
    expect(rateHeaders(await get(api))).toMatchObject(expected)
  },
)

test.each(['legacy', 'x', 'draft7', 'draft8'] as const)(
  'the client reads limit, remaining and reset in the form %s',
  async (headers) => {
    const { api } = await limited({ limit: 60, windowMs: 12_000, headers })
    await using _ = api
    const answer = await get(api)
    const read = readRateLimit((name) => answer.headers.get(name), NOON)
    expect(read).toEqual({ limit: 60, remaining: 59, resetInMs: 12_000 })
  },
)

test('the client reads a reset in milliseconds for windows of less than a second', async () => {
  const { api } = await limited({ limit: 60, windowMs: 250, reset: 'epochMs' })
  await using _ = api
  const answer = await get(api)
  const read = readRateLimit((name) => answer.headers.get(name), NOON)
  expect(read).toEqual({ limit: 60, remaining: 59, resetInMs: 250 })
})

test('a 429 can be configured not to say how long to wait', async () => {
  const { api } = await limited({ limit: 1, headers: 'none', retryAfter: 'none' })
  await using _ = api
  api.spend(1)
  const answer = await get(api)
  expect(answer.status).toBe(429)
  expect(rateHeaders(answer)).toEqual({})
  const { retry_after: inBody } = (await answer.clone().json()) as { retry_after?: unknown }
  expect(inBody).toBeUndefined()
  expect(readRetryAfterMs((name) => answer.headers.get(name), inBody, NOON, 429)).toBeNull()
})

test.each([
  ['seconds', '12'],
  ['date', 'Thu, 15 Jan 2026 12:00:12 GMT'],
  ['none', undefined],
] as const)('asks for a wait with Retry-After as %s', async (retryAfter, expected) => {
  const { api } = await limited({ limit: 1, windowMs: 12_000, retryAfter })
  await using _ = api
  api.spend(1)
  expect(rateHeaders(await get(api))['retry-after']).toBe(expected)
})

test('others at the same address use up the budget, those at other addresses do not', async () => {
  const { api } = await limited({ limit: 10 })
  await using _ = api
  api.spend(7, '10.0.0.1')
  expect(rateHeaders(await get(api))).toMatchObject({ 'ratelimit-remaining': '9' })
  api.spend(7)
  expect(rateHeaders(await get(api))).toMatchObject({ 'ratelimit-remaining': '1' })
})

test('reports nothing and refuses nothing when off', async () => {
  const { api } = await limited('off')
  await using _ = api
  api.spend(1_000_000)
  const answer = await get(api)
  expect(answer.status).toBe(200)
  expect(rateHeaders(answer)).toEqual({})
})
