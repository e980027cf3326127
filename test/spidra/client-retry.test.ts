import { describe, expect, test } from 'vitest'
import type { ListAnswer, SpidraClientOptions, WaitEvent } from '../../src/spidra/client.js'
import {
  type Answer,
  clientOf,
  cutBody,
  dropped,
  emptyList,
  endlessBody,
  fakeSpidra,
  hang,
  reply,
} from '../support/fake-spidra.js'

const signal = new AbortController().signal
const ask = { page: 1, limit: 50, signal }

describe('what is retried', () => {
  test.each([
    ['a 500', reply(500, { status: 'error', message: 'Internal error' })],
    ['a 502 in HTML', reply(502, '<html>Bad Gateway</html>')],
    ['a 503 that says how long', reply(503, { status: 'error', code: 'SERVICE_BUSY', retry_after: 0.001 })],
    ['a 504', reply(504, '')],
    ['a 429', reply(429, { status: 'error', message: 'Too many requests, please try again later.' })],
    ['a 408', reply(408, '')],
    ['a connection that drops', dropped],
    ['a body that breaks off', cutBody(200)],
    ['an answer that is no JSON', reply(200, '<html>Welcome</html>')],
    ['JSON that is no list', reply(200, { status: 'ok' })],
  ])('%s', async (_, answer) => {
    await using api = await fakeSpidra([answer, answer, emptyList()])

    await expect(clientOf(api).listPage(ask)).resolves.toMatchObject({ fault: null })

    expect(api.requests).toHaveLength(3)
  })

  test.each([
    ['a hang', hang],
    ['a body without end', endlessBody(200)],
  ])('%s, and the next attempt has the whole timeout for itself', async (_, answer) => {
    await using api = await fakeSpidra([answer, emptyList()])

    await expect(clientOf(api, { requestTimeoutMs: 500 }).listPage(ask)).resolves.toMatchObject({ fault: null })

    expect(api.requests).toHaveLength(2)
  })

  test.each([400, 401, 402, 403, 404, 409, 410, 422])('not a %d', async (status) => {
    await using api = await fakeSpidra([reply(status, { status: 'error', message: 'no' }, { 'retry-after': '1' })])

    await expect(clientOf(api).listPage(ask)).rejects.toMatchObject({ status, isRetryable: false })

    expect(api.requests).toHaveLength(1)
  })

  test('a single 401, once the key was accepted', async () => {
    const refused = reply(401, { status: 'error', message: 'no' })
    await using api = await fakeSpidra([emptyList(), refused, emptyList(), refused, refused])
    const client = clientOf(api)

    await client.listPage(ask)
    await expect(client.listPage(ask)).resolves.toMatchObject({ fault: null })
    expect(api.requests).toHaveLength(3)

    await expect(client.listPage(ask)).rejects.toMatchObject({ code: 'unauthorized' })
    expect(api.requests).toHaveLength(5)
  })

  test.each([0, 1, 4])('is tried %d times again, and then thrown without another wait', async (requestRetries) => {
    await using api = await fakeSpidra([reply(500, '')])
    const waits: WaitEvent[] = []
    const client = clientOf(api, { requestRetries, onWait: (event) => waits.push(event) })

    await expect(client.listPage(ask)).rejects.toMatchObject({ code: 'server_error' })

    expect(api.requests).toHaveLength(1 + requestRetries)
    expect(waits).toHaveLength(requestRetries)
  })
})

describe('the wait', () => {
  /** The wait that one failed answer brings about, read before it begins. */
  async function waitAfter(answer: Answer, options: Partial<SpidraClientOptions> = {}): Promise<WaitEvent> {
    await using api = await fakeSpidra([answer])
    const stop = new AbortController()
    let wait: WaitEvent | undefined
    const client = clientOf(api, {
      ...options,
      onWait(event) {
        wait = event
        stop.abort('seen')
      },
    })
    await expect(client.listPage({ ...ask, page: 7, signal: stop.signal })).rejects.toBe('seen')
    if (wait === undefined) throw new Error('no wait')
    return wait
  }

  test('without a hint is drawn evenly up to a limit that doubles', async () => {
    await using api = await fakeSpidra([reply(500, '')])
    const waits: WaitEvent[] = []
    const client = clientOf(api, { requestRetries: 3, retryBaseMs: 4, onWait: (event) => waits.push(event) })

    await Promise.all(
      Array.from({ length: 60 }, () =>
        client.listPage({ ...ask, signal: new AbortController().signal }).catch(() => {}),
      ),
    )

    for (const attempt of [1, 2, 3]) {
      const shares = waits
        .filter((wait) => wait.attempt === attempt)
        .map(({ waitMs }) => waitMs / (4 * 2 ** (attempt - 1)))
      expect(shares).toHaveLength(60)
      // In sixty draws a fifth at either end stays empty once in 650,000 times.
      expect(Math.min(...shares)).toBeGreaterThanOrEqual(0)
      expect(Math.min(...shares)).toBeLessThan(0.2)
      expect(Math.max(...shares)).toBeGreaterThan(0.8)
      expect(Math.max(...shares)).toBeLessThanOrEqual(1)
    }
  })

  test('without a hint is never longer than 30 seconds', async () => {
    const waits = await Promise.all(
      Array.from({ length: 40 }, () => waitAfter(reply(500, ''), { retryBaseMs: 60_000 })),
    )

    expect(Math.max(...waits.map(({ waitMs }) => waitMs))).toBeLessThanOrEqual(30_000)
    expect(Math.max(...waits.map(({ waitMs }) => waitMs))).toBeGreaterThan(15_000)
  })

  const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds

  test.each([
    ['Retry-After in seconds', 7, () => reply(429, '', { 'retry-after': '7' })],
    ['Retry-After as a date', 7, () => reply(429, '', { 'retry-after': new Date(inSeconds(7) * 1000).toUTCString() })],
    ['retry_after in the body', 60, () => reply(503, { code: 'SERVICE_BUSY', retry_after: 60 })],
    ['retry_after beside Retry-After: 0', 7, () => reply(503, { retry_after: 7 }, { 'retry-after': '0' })],
    ['RateLimit-Reset in seconds', 7, () => reply(429, '', { 'ratelimit-reset': '7' })],
    ['RateLimit-Reset as a time', 7, () => reply(429, '', { 'ratelimit-reset': String(inSeconds(7)) })],
    ['Retry-After of a day, cut to 15 minutes', 900, () => reply(429, '', { 'retry-after': '86400' })],
  ])('is as long as the answer asks for, plus jitter: %s', async (_, seconds, answer) => {
    const { waitMs } = await waitAfter(answer())

    // A date has whole seconds, so up to one is lost, and more on a busy machine.
    expect(waitMs).toBeGreaterThan((seconds - 4) * 1000)
    expect(waitMs).toBeLessThanOrEqual(seconds * 1000 + 500)
  })

  test.each([
    ['Retry-After: 0', reply(429, '', { 'retry-after': '0' })],
    ['a date that has passed', reply(503, '', { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' })],
    [
      'the reset of a budget that is not used up',
      reply(500, '', { 'ratelimit-limit': '300', 'ratelimit-remaining': '299', 'ratelimit-reset': '800' }),
    ],
  ])('is not taken from %s', async (_, answer) => {
    expect((await waitAfter(answer)).waitMs).toBeLessThanOrEqual(1)
  })

  test('is really waited', async () => {
    const busy = reply(503, { retry_after: 0.1 })
    await using api = await fakeSpidra([busy, emptyList()])
    const waits: WaitEvent[] = []
    const before = performance.now()

    await clientOf(api, { onWait: (event) => waits.push(event) }).listPage(ask)

    expect(waits[0]?.waitMs).toBeGreaterThanOrEqual(100)
    // Timers of Node may fire a millisecond early.
    expect(performance.now() - before).toBeGreaterThan((waits[0]?.waitMs ?? 0) - 2)
  })

  test('is reported with its reason, its page and the attempt that failed', async () => {
    expect(await waitAfter(reply(429, ''))).toMatchObject({ reason: 'rate_limited', page: 7, attempt: 1 })
  })
})

describe('an answer that contradicts itself', () => {
  const faultOf = (answer: ListAnswer) => (answer.pagination.total === 0 ? 'its total is 0' : null)
  const sound = reply(200, { jobs: [], pagination: { page: 1, limit: 50, total: 1, totalPages: 1 } })

  test('is requested again', async () => {
    await using api = await fakeSpidra([emptyList(), sound])
    const outcomes: string[] = []
    const waits: string[] = []
    const client = clientOf(api, {
      onRequest: ({ outcome }) => outcomes.push(outcome),
      onWait: ({ reason }) => waits.push(reason),
    })

    expect(await client.listPage({ ...ask, faultOf })).toMatchObject({ fault: null, pagination: { total: 1 } })
    expect(outcomes).toEqual(['bad_payload', 'ok'])
    expect(waits).toEqual(['bad_payload'])
  })

  test('is returned with its fault if the retries do not help', async () => {
    await using api = await fakeSpidra([reply(500, ''), emptyList()])

    expect(await clientOf(api).listPage({ ...ask, faultOf })).toMatchObject({ fault: 'its total is 0' })
    expect(api.requests).toHaveLength(3)
  })

  test.each([
    ['network', dropped],
    ['server_error', reply(500, '')],
    ['unauthorized', reply(401, '')],
    ['bad_payload', reply(200, 'no list')],
  ])('is not returned if the last attempt failed otherwise: %s', async (code, last) => {
    await using api = await fakeSpidra([emptyList(), last])

    await expect(clientOf(api).listPage({ ...ask, faultOf })).rejects.toMatchObject({ name: 'SpidraError', code })
  })

  test('passes on an error that faultOf throws, after reporting the attempt', async () => {
    await using api = await fakeSpidra([emptyList()])
    const outcomes: string[] = []
    const judgement = new Error('another limit')
    const client = clientOf(api, { onRequest: ({ outcome }) => outcomes.push(outcome) })

    const answer = client.listPage({
      ...ask,
      faultOf() {
        throw judgement
      },
    })

    await expect(answer).rejects.toBe(judgement)
    expect(outcomes).toEqual(['ok'])
  })
})

describe('an answer from a cache', () => {
  const SOUND = { jobs: [], pagination: { page: 1, limit: 50, total: 1, totalPages: 1 } }
  const sound = (age: string) => reply(200, SOUND, { age })

  test('is not wanted: every request carries Cache-Control: no-cache', async () => {
    await using api = await fakeSpidra([dropped, emptyList()])

    await clientOf(api).listPage(ask)

    expect(api.requests.map(({ headers }) => headers['cache-control'])).toEqual(['no-cache', 'no-cache'])
  })

  test('is requested again, without a call of faultOf', async () => {
    await using api = await fakeSpidra([sound('55'), sound('0')])
    const outcomes: string[] = []
    const judged: number[] = []
    const client = clientOf(api, { onRequest: ({ outcome }) => outcomes.push(outcome) })

    const answer = await client.listPage({
      ...ask,
      faultOf(given) {
        judged.push(given.pagination.total)
        return null
      },
    })

    expect(answer.fault).toBeNull()
    expect(outcomes).toEqual(['bad_payload', 'ok'])
    expect(judged).toEqual([1])
  })

  test.each([
    ['1', 'it comes from a cache, 1 s old'],
    ['55', 'it comes from a cache, 55 s old'],
    ['000086400', 'it comes from a cache, 86400 s old'],
    ['9'.repeat(400), 'it comes from a cache, 2147483648 s old'],
  ])('is returned with its age as fault if the retries do not help: Age: %s', async (age, fault) => {
    await using api = await fakeSpidra([sound(age)])

    expect(await clientOf(api).listPage(ask)).toMatchObject({ fault, pagination: { total: 1 } })
    expect(api.requests).toHaveLength(3)
  })

  test.each(['0', '', '-5', '1.5', 'old', '5 s', '0x10', 'Infinity'])('is not assumed for Age: %j', async (age) => {
    await using api = await fakeSpidra([sound(age)])

    expect((await clientOf(api).listPage(ask)).fault).toBeNull()
    expect(api.requests).toHaveLength(1)
  })

  test('with an error is still the error', async () => {
    await using api = await fakeSpidra([reply(401, '', { age: '55' })])

    await expect(clientOf(api).listPage(ask)).rejects.toMatchObject({ code: 'unauthorized' })
  })
})
