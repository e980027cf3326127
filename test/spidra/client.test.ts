import { inspect } from 'node:util'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { RequestEvent } from '../../src/spidra/client.js'
import { SpidraError } from '../../src/spidra/errors.js'
import {
  type Answer,
  clientOf,
  cutBody,
  emptyList,
  endlessBody,
  fakeSpidra,
  hang,
  KEY,
  noHttp,
  reply,
} from '../support/fake-spidra.js'

const signal = new AbortController().signal
const ask = { page: 1, limit: 50, signal }

/** One item that is no job, with a letter that has another form in Latin-1; the letter is at the 10th byte. */
const BODY = '{"jobs":["ünï"],"pagination":{"page":1,"limit":50,"total":1,"totalPages":1}}'

function packed(status: number, encoding: string, body: Uint8Array): Answer {
  return (response) => void response.writeHead(status, { 'content-encoding': encoding }).end(body)
}

async function failureOf(answer: Promise<unknown>): Promise<SpidraError> {
  const error = await answer.catch((reason: unknown) => reason)
  if (!(error instanceof SpidraError)) throw new Error('no SpidraError', { cause: error })
  return error
}

describe('the request', () => {
  test('asks for the page, with the key in x-api-key and nowhere else', async () => {
    await using api = await fakeSpidra([emptyList()])

    await clientOf(api).listPage({ page: 7, limit: 20, signal })

    expect(api.requests).toEqual([
      { path: '/api/batch/scrape?page=7&limit=20', headers: expect.objectContaining({ 'x-api-key': KEY }) },
    ])
    expect(api.requests[0]?.headers).not.toHaveProperty('authorization')
  })

  test('carries the key as a bearer token if that is the scheme', async () => {
    await using api = await fakeSpidra([emptyList()])

    await clientOf(api, { authScheme: 'bearer' }).listPage(ask)

    expect(api.requests[0]?.headers.authorization).toBe(`Bearer ${KEY}`)
    expect(api.requests[0]?.headers).not.toHaveProperty('x-api-key')
  })

  test('asks for JSON, and says which compressions it understands', async () => {
    await using api = await fakeSpidra([emptyList()])

    await clientOf(api).listPage(ask)

    expect(api.requests[0]?.headers.accept).toBe('application/json')
    expect(api.requests[0]?.headers['accept-encoding']).toBe('gzip, br, deflate')
  })

  test.each([301, 302, 303, 307, 308])('does not follow a %d, so that the key goes nowhere else', async (status) => {
    await using elsewhere = await fakeSpidra([emptyList()])
    await using api = await fakeSpidra([reply(status, '', { location: `${elsewhere.url}/batch/scrape` })])

    await expect(clientOf(api).listPage(ask)).rejects.toMatchObject({ code: 'rejected', status })

    expect(api.requests).toHaveLength(1)
    expect(elsewhere.requests).toEqual([])
  })
})

describe('the answer', () => {
  test('holds jobs and rejections, and when it was asked for and answered', async () => {
    const pagination = { page: 1, limit: 50, total: 1, totalPages: 1 }
    await using api = await fakeSpidra([reply(200, { jobs: [null], pagination })])
    const before = performance.now()

    const answer = await clientOf(api).listPage(ask)

    expect(answer).toMatchObject({ jobs: [], rejections: [{ payload: 'null' }], itemCount: 1, pagination, fault: null })
    expect(answer.askedAt).toBeGreaterThanOrEqual(before)
    expect(answer.answeredAt).toBeGreaterThan(answer.askedAt)
    expect(answer.answeredAt).toBeLessThanOrEqual(performance.now())
  })

  test.each([
    ['gzip', 'gzip', gzipSync(BODY)],
    ['gzip by its old name, in capitals', 'X-GZIP', gzipSync(BODY)],
    ['brotli', 'br', brotliCompressSync(BODY)],
    ['deflate', 'deflate', deflateSync(BODY)],
    ['deflate without a header', 'deflate', deflateRawSync(BODY)],
    ['two encodings', 'gzip, br', brotliCompressSync(gzipSync(BODY))],
    ['none, by name', 'identity', Buffer.from(BODY)],
  ])('may be compressed: %s', async (_, encoding, body) => {
    await using api = await fakeSpidra([packed(200, encoding, body)])

    expect(await clientOf(api).listPage(ask)).toMatchObject({ rejections: [{ payload: '"ünï"' }], fault: null })
  })

  test.each([
    ['a truncated gzip', 'gzip', gzipSync(BODY).subarray(0, -12), 'cannot be unpacked'],
    ['a truncated brotli', 'br', brotliCompressSync(BODY).subarray(0, -4), 'cannot be unpacked'],
    ['a truncated deflate', 'deflate', deflateSync(BODY).subarray(0, -8), 'cannot be unpacked'],
    ['text that is said to be gzip', 'gzip', Buffer.from(BODY), 'cannot be unpacked'],
    ['an unknown encoding', 'toString', Buffer.from(BODY), 'unknown Content-Encoding'],
    ['three encodings', 'br, br, br', Buffer.from(BODY), 'unknown Content-Encoding'],
    ['bytes that are not UTF-8', 'identity', Buffer.from(BODY, 'latin1'), 'is not valid UTF-8'],
    ['half of a letter', 'identity', Buffer.from(BODY).subarray(0, 11), 'is not valid UTF-8'],
  ])('is requested again where it is %s', async (_, encoding, body, words) => {
    const bad = packed(200, encoding, body)
    await using api = await fakeSpidra([bad, packed(200, 'gzip', gzipSync(BODY)), bad])
    const client = clientOf(api, { requestRetries: 1 })

    expect(await client.listPage(ask)).toMatchObject({ itemCount: 1, fault: null })
    const error = await failureOf(client.listPage(ask))

    expect(api.requests).toHaveLength(4)
    expect(error).toMatchObject({ code: 'bad_payload', status: 200, message: expect.stringContaining(words) })
    expect(error.message).not.toContain('toString')
  })

  test('of an error may be compressed too', async () => {
    const body = gzipSync(JSON.stringify({ status: 'error', message: 'the key is unknown' }))
    await using api = await fakeSpidra([packed(403, 'gzip', body)])

    expect((await failureOf(clientOf(api).listPage(ask))).message).toContain('the key is unknown')
  })

  test('holds no key, whatever the API echoes: what it lists is stored and shown to others', async () => {
    const spellings = [KEY, KEY.toUpperCase(), Buffer.from(KEY).toString('base64'), Buffer.from(KEY).toString('hex')]
    const pagination = { page: 1, limit: 50, total: 1, totalPages: 1 }
    await using api = await fakeSpidra([reply(200, { jobs: [{ echoed: spellings }], pagination })])

    const { rejections } = await clientOf(api).listPage(ask)

    // The last letters of base64 depend on what follows, and tell less than one byte.
    expect(rejections.map(({ payload }) => payload.replace(/\][\w=]{1,3}"/, ']"'))).toEqual([
      JSON.stringify({ echoed: spellings.map(() => '[redacted]') }),
    ])
  })

  test('may begin with a byte order mark', async () => {
    await using api = await fakeSpidra([reply(200, `\ufeff${BODY}`)])

    expect(await clientOf(api).listPage(ask)).toMatchObject({ fault: null })
  })

  test('is refused when it is larger than any page', async () => {
    await using api = await fakeSpidra([reply(200, ' '.repeat(17 * 1024 * 1024))])

    const error = await failureOf(clientOf(api, { requestRetries: 0 }).listPage(ask))

    expect(error).toMatchObject({ code: 'bad_payload', status: 200 })
    expect(error.message).toContain('16777216 bytes')
  })

  test.each([
    ['breaks off', cutBody(401), 10_000],
    ['never ends', endlessBody(401), 1000],
    ['is too large', reply(401, ' '.repeat(17 * 1024 * 1024)), 10_000],
  ])('of an error counts by its status, even where its body %s', async (_, answer, requestTimeoutMs) => {
    await using api = await fakeSpidra([answer])

    await expect(clientOf(api, { requestTimeoutMs }).listPage(ask)).rejects.toMatchObject({ status: 401 })

    expect(api.requests).toHaveLength(1)
  })
})

describe('an error', () => {
  test('names the server that did not answer, and what to check', async () => {
    const { url } = await closedServer()
    const error = await failureOf(clientOf({ url }, { requestRetries: 0 }).listPage({ ...ask, page: 3 }))

    expect(error).toMatchObject({ code: 'network', status: null })
    expect(error.message).toBe(
      `No answer from ${new URL(url).origin} for page 3 (ECONNREFUSED). Check the network and SPIDRA_API_URL`,
    )
  })

  test('says how long it waited for an answer', async () => {
    await using api = await fakeSpidra([hang])
    const error = await failureOf(clientOf(api, { requestRetries: 0, requestTimeoutMs: 20 }).listPage(ask))

    expect(error).toMatchObject({ code: 'timeout', status: null })
    expect(error.message).toContain('within 20 ms (REQUEST_TIMEOUT_MS)')
  })

  test.each([
    ['in a message', reply(403, { message: `no such key: ${KEY}` })],
    ['in HTML', reply(502, `<html>body-of-the-answer ${KEY}</html>`)],
    ['in the status line', noHttp(`HTTP/1.1 500 ${KEY}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)],
    ['in an answer that is no list', reply(200, { 'body-of-the-answer': KEY })],
    ['in an answer that is no JSON', reply(200, `body-of-the-answer ${KEY}`)],
    ['in an answer that is no HTTP', noHttp(`body-of-the-answer ${KEY}`)],
    ['in a body that breaks off', cutBody(200, `body-of-the-answer ${KEY}`)],
    ['in a header', reply(500, '', { 'retry-after': KEY, location: KEY })],
  ])('carries neither key nor body, even if the server echoes them %s', async (_, answer) => {
    await using api = await fakeSpidra([answer])

    const error = await failureOf(clientOf(api, { requestRetries: 0 }).listPage(ask))

    const everything = inspect(error, { depth: 20, showHidden: true, maxStringLength: null })
    expect(everything).not.toContain(KEY)
    expect(everything).not.toContain('body-of-the-answer')
  })
})

test('reports every attempt, its outcome and the budget in its answer', async () => {
  const budget = { 'ratelimit-limit': '300', 'ratelimit-remaining': '299', 'ratelimit-reset': '42' }
  await using api = await fakeSpidra([reply(500, ''), reply(429, ''), hang, reply(200, 'no list'), emptyList(budget)])
  const events: RequestEvent[] = []
  const client = clientOf(api, { requestRetries: 4, requestTimeoutMs: 500, onRequest: (event) => events.push(event) })

  await client.listPage(ask)

  expect(events.map(({ attempt, outcome }) => [attempt, outcome])).toEqual([
    [1, 'server_error'],
    [2, 'rate_limited'],
    [3, 'timeout'],
    [4, 'bad_payload'],
    [5, 'ok'],
  ])
  expect(events.map(({ rateLimit }) => rateLimit)).toEqual([
    null,
    null,
    null,
    null,
    { limit: 300, remaining: 299, resetInMs: 42_000 },
  ])
  expect(events.every(({ durationMs }) => durationMs > 0)).toBe(true)
})

/** The address of a server that has been closed. */
async function closedServer(): Promise<{ readonly url: string }> {
  await using api = await fakeSpidra([emptyList()])
  return { url: api.url }
}
