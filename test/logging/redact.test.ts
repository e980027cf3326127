import { describe, expect, test } from 'vitest'
import { createJsonRedact, createRedact, createSecrets, redactOutput } from '../../src/logging/redact.js'

test('hides secrets that are added later, and forgets none', () => {
  const secrets = createSecrets(['spd_first'])
  const before = secrets.redact('spd_first spd_later')

  secrets.add(['spd_later', 'spd_first'])

  expect(before).toBe('[redacted] spd_later')
  expect(secrets.redact('spd_first spd_later')).toBe('[redacted] [redacted]')
  expect(secrets.redactJson('{"a":"spd_later"}')).toBe('{"a":"[redacted]"}')
  expect(secrets.all).toEqual(['spd_first', 'spd_later'])
})

test('keeps the same list when a secret is already known', () => {
  const secrets = createSecrets(['spd_first'])
  const { all } = secrets

  secrets.add(['spd_first'])

  expect(secrets.all).toBe(all)
})

const KEY = 'spd_Canary+/=&%"ä1'
const hex = Buffer.from(KEY).toString('hex')

test.each([
  ['upper case', KEY.toUpperCase()],
  ['lower case', KEY.toLowerCase()],
  ['hexadecimal', hex],
  ['upper hexadecimal', hex.toUpperCase()],
  ['bytes of a printed buffer', hex.replace(/..(?!$)/g, '$& ')],
  ['bytes with colons', hex.replace(/..(?!$)/g, '$&:')],
  ['percent-encoding of every byte', hex.replace(/../g, '%$&')],
  ['percent-encoding', encodeURIComponent(KEY)],
  ['lower percent-encoding', encodeURIComponent(KEY).toLowerCase()],
  ['a URL', encodeURI(KEY)],
  ['JSON', JSON.stringify(KEY).slice(1, -1)],
  ['base64', Buffer.from(KEY).toString('base64').replace(/.=*$/, '')],
  ['base64 for URLs', Buffer.from(KEY).toString('base64url').slice(0, -1)],
])('replaces a secret in %s', (_, spelling) => {
  expect(createRedact([KEY])(`<${spelling}>`)).toMatch(/^<(%)?\[redacted\].?>$/)
})

test('a short secret is replaced as it is written, and in URLs, not in other letter case', () => {
  const redact = createRedact(['p@Ss'])

  expect(redact('p@Ss p%40Ss P@SS')).toBe('[redacted] [redacted] P@SS')
  expect(createRedact(['a/b'])('a%2fb a%2Fb')).toBe('[redacted] [redacted]')
})

test('from four letters on a secret is replaced inside words too, and a shorter one only on its own', () => {
  expect(createRedact(['real'])('surreal real')).toBe('sur[redacted] [redacted]')
  expect(createRedact(['eal'])('surreal eal')).toBe('surreal [redacted]')
})

test.each([
  ['abcd', 'abcdef'],
  ['spd_key_1234', 'spd_key_1234_longer'],
])('of a secret that begins with another one nothing remains: %s, %s', (short, long) => {
  expect(createRedact([short, long])(`${long} ${short}`)).toBe('[redacted] [redacted]')
})

test('a secret with control characters is replaced in hexadecimal', () => {
  const secret = 'tab\tand\nline'

  expect(createRedact([secret])(`<${Buffer.from(secret).toString('hex')}>`)).toBe('<[redacted]>')
})

test('without a secret every text stays', () => {
  expect(createRedact([])('null, undefined and [redacted]')).toBe('null, undefined and [redacted]')
})

test('a text that was redacted stays as it is', () => {
  const redact = createRedact(['redacted', 'edac'])

  expect(redact('[redacted] redacted')).toBe('[redacted] [redacted]')
})

describe('JSON', () => {
  const redact = createJsonRedact(createRedact(['12345678', 'a/secret/key']))

  test('stays valid where a number equals a secret', () => {
    expect(redact('{"count":12345678,"text":"12345678"}')).toBe('{"count":12345678,"text":"[redacted]"}')
  })

  test('hides a secret that is written with escapes', () => {
    expect(redact('{"text":"a\\/secret\\/key","other":"\\u0061/secret/ke\\u0079"}')).toBe(
      '{"text":"[redacted]","other":"[redacted]"}',
    )
  })

  test('hides a secret in a text that is no JSON', () => {
    expect(redact('{"text":"\\x a/secret/key"')).toBe('{"text":"\\\\x [redacted]"')
  })

  test('is the same text where it holds no secret', () => {
    const json = '{ "a" : "x\\u0041", "b":[1e400,"\\/"] }'

    expect(redact(json)).toBe(json)
  })
})

test('redacts all that is written to a stream, as text, bytes or JSON', () => {
  const written: unknown[][] = []
  const stream = { write: (...args: unknown[]) => written.push(args) > 0 }
  const secrets = createSecrets(['12345678'])
  redactOutput(stream as never, secrets)
  const untouched = Buffer.from([0xff, 0xfe])

  stream.write('key 12345678\n', 'utf8')
  stream.write(Buffer.from('key 12345678\n'))
  stream.write('{"pid":12345678,"key":"12345678"}\n')
  stream.write('{ "pid":12345678,"key":"12345678"}\n')
  stream.write('12345678 {"a":1}\n')
  stream.write('key=12345678{"a":1}\n')
  stream.write(untouched)
  secrets.add(['a later key'])
  stream.write('a later key')

  expect(written).toEqual([
    ['key [redacted]\n', 'utf8'],
    ['key [redacted]\n'],
    ['{"pid":12345678,"key":"[redacted]"}\n'],
    ['{ "pid":12345678,"key":"[redacted]"}\n'],
    ['[redacted] {"a":1}\n'],
    ['key=[redacted]{"a":1}\n'],
    [untouched],
    ['[redacted]'],
  ])
})

test('the password of a first try is hidden as written in the log, and is a word elsewhere', () => {
  const secrets = createSecrets(['postgres', 'real'])
  const written: string[] = []
  const stream = { write: (text: string) => written.push(text) > 0 }
  redactOutput(stream as never, secrets)

  expect(secrets.redact('Postgres refuses postgres')).toBe('Postgres refuses [redacted]')
  stream.write('a real Postgres: psql postgres://127.0.0.1')
  secrets.add(['superpostgres', 'postgres-2026'])
  stream.write('Superpostgres and Postgres-2026 at postgresql://127.0.0.1')
  expect(written).toEqual([
    'a real Postgres: psql postgres://127.0.0.1',
    '[redacted] and [redacted] at postgresql://127.0.0.1',
  ])
})
