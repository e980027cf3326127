import { expect, test } from 'vitest'
import { toSpidraError } from '../../src/spidra/errors.js'

const KEY = 'spd_a-key-that-nobody-may-see'
const NOW = Date.parse('2026-03-01T12:00:00Z')

function errorOf(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const response = { status, statusText: 'Status Text', header: (name: string) => headers[name] ?? null, body: text }
  return toSpidraError(response, { apiKey: KEY, keyOrigin: 'SPIDRA_API_KEY' }, NOW)
}

test.each([
  [401, 'unauthorized', false, 'SPIDRA_API_KEY'],
  [402, 'payment_required', false, 'pay the open invoice'],
  [403, 'forbidden', false, 'SPIDRA_API_KEY'],
  [204, 'rejected', false, 'SPIDRA_API_URL'],
  [302, 'rejected', false, 'SPIDRA_API_URL'],
  [400, 'rejected', false, 'SPIDRA_API_URL'],
  [404, 'rejected', false, 'SPIDRA_API_URL'],
  [422, 'rejected', false, 'SPIDRA_API_URL'],
  [408, 'timeout', true, ''],
  [429, 'rate_limited', true, ''],
  [500, 'server_error', true, ''],
  [599, 'server_error', true, ''],
])('%d is %s, retryable: %s, and its message says what to do: %s', (status, code, isRetryable, advice) => {
  const error = errorOf(status, { status: 'error', message: 'the reason' })

  expect(error).toMatchObject({ name: 'SpidraError', code, status, isRetryable })
  expect(error.message).toMatch(new RegExp(`^Spidra answered ${status} \\(the reason\\)`))
  expect(error.message).toContain(advice)
})

test.each(['Monthly credit limit reached', 'Invalid, expired or disabled API key'])(
  "a 403 says the API's words, then both causes, and nothing twice: %s",
  (words) => {
    expect(errorOf(403, { status: 'error', message: words }).message).toBe(
      `Spidra answered 403 (${words}): it refuses the key, or the month's credits are used up. ` +
        'Check SPIDRA_API_KEY, and the credits of its account at Spidra',
    )
  },
)

test('a 429 says how long to wait, if the answer does', () => {
  const message = 'Too many requests, please try again later.'

  expect(errorOf(429, { message }, { 'retry-after': '41.2' }).message).toBe(
    `Spidra answered 429 (${message}): it asks for a wait of 42 s`,
  )
  expect(errorOf(429, { message }).message).toBe(`Spidra answered 429 (${message})`)
})

test.each([
  ['message', { status: 'error', message: 'Missing x-api-key header' }, '(Missing x-api-key header)'],
  [
    'errors',
    { errors: ['page must be positive', 'limit must be at most 50'] },
    '(page must be positive; limit must be',
  ],
  ['error', { error: 'no such batch' }, '(no such batch)'],
  ['message before the others', { error: 'c', errors: ['b'], message: 'a' }, '(a)'],
  ['an empty message is none', { message: ' ', errors: [], error: 'no such batch' }, '(no such batch)'],
  [
    'a message of another type is none',
    { message: { text: 'x' }, errors: [1], error: 'no such batch' },
    '(no such batch)',
  ],
  ['the status text for HTML', '<html><body>502 Bad Gateway</body></html>', '(Status Text)'],
  ['the status text for an empty body', '', '(Status Text)'],
  ['the status text for JSON of another shape', '[null]', '(Status Text)'],
])("quotes the API's own words: %s", (_, body, quoted) => {
  expect(errorOf(500, body).message).toContain(`Spidra answered 500 ${quoted}`)
})

test.each([400, 403, 404, 409, 422, 500])('a %d with the code QUEUE_UNAVAILABLE is retryable', (status) => {
  const error = errorOf(status, { status: 'error', message: 'Queue unavailable', code: 'QUEUE_UNAVAILABLE' })

  expect(error).toMatchObject({ code: 'server_error', status, isRetryable: true })
  expect(error.message).toBe(`Spidra answered ${status} (Queue unavailable)`)
})

test('any other code of a body changes nothing', () => {
  expect(errorOf(403, { message: 'no', code: 'OTHER' }).code).toBe('forbidden')
  expect(errorOf(429, { message: 'no', code: 'QUEUE_UNAVAILABLE' }).code).toBe('rate_limited')
})

test('removes the key from the message that it quotes', () => {
  for (const body of [
    { message: `bad key ${KEY}` },
    { errors: [KEY, KEY] },
    { error: `${KEY}!` },
    `<html>${KEY}</html>`,
  ]) {
    expect(errorOf(403, body).message).not.toContain(KEY)
  }
})

test('quotes at most 200 characters, and never a part of the key', () => {
  const { message } = errorOf(500, { message: `${'a'.repeat(195)}${KEY}${'b'.repeat(1000)}` })

  expect(message).toBe(`Spidra answered 500 (${'a'.repeat(195)}[reda...)`)
})

test('quotes nothing that breaks a log line, a terminal or a database', () => {
  const { message } = errorOf(500, { message: 'a\r\nb\u0000c\u001b[31md\u2028e\u202ef\ud800g\u009bh' })

  expect(message).toBe('Spidra answered 500 (a b c [31md e f g h)')
  expect(errorOf(500, { message: `${'a'.repeat(199)}😀` }).message.isWellFormed()).toBe(true)
})

test('carries how long to wait', () => {
  expect(errorOf(503, { code: 'SERVICE_BUSY', retry_after: 60 }).retryAfterMs).toBe(60_000)
  expect(errorOf(429, {}, { 'retry-after': '7' }).retryAfterMs).toBe(7000)
  expect(errorOf(503, '{"retry_after":1e400}').retryAfterMs).toBeNull()
  expect(errorOf(503, { retry_after: '60' }).retryAfterMs).toBeNull()
})
