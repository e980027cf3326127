import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLogger, type LoggerOptions } from '../../src/logging/logger.js'
import { createRedact, createSecrets } from '../../src/logging/redact.js'

/** A logger, and the lines that it has written. */
async function logging(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = []
  const log = await createLogger({
    level: 'info',
    format: 'json',
    secrets: [],
    destination: { write: (line) => lines.push(line) },
    ...options,
  })
  return { log, lines }
}

describe('json', () => {
  test('writes an object a line: level as a word, ISO time, fields, message', async () => {
    const { log, lines } = await logging()

    log.child({ runId: '7' }).info({ page: 2 }, 'page merged')

    expect(lines).toHaveLength(1)
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      runId: '7',
      page: 2,
      msg: 'page merged',
    })
  })

  test('writes nothing below its level', async () => {
    const { log, lines } = await logging({ level: 'warn' })

    log.info('not this')
    log.warn('this')

    expect(lines).toHaveLength(1)
  })

  test('keeps type, message and code of an error, the stack at debug only, and no other property', async () => {
    const err = Object.assign(new TypeError('no answer'), {
      code: 'ECONNRESET',
      body: 'canary',
      request: { key: 'canary' },
    })
    const quiet = await logging()
    const verbose = await logging({ level: 'debug' })

    quiet.log.error({ err }, 'run failed')
    verbose.log.error({ err }, 'run failed')

    const fields = { type: 'TypeError', message: 'no answer', code: 'ECONNRESET' }
    expect(JSON.parse(quiet.lines[0] ?? '').err).toEqual(fields)
    expect(JSON.parse(verbose.lines[0] ?? '').err).toEqual({ ...fields, stack: err.stack })
  })
})

describe('redaction', () => {
  test('credentials in headers never show, wherever the headers are', async () => {
    const { log, lines } = await logging()
    const headers = { 'x-api-key': 'canary', authorization: 'Basic canary', cookie: 'canary', accept: 'text/html' }

    log.info({ ...headers, headers, request: { headers } }, 'request sent')

    expect(lines.join()).not.toContain('canary')
    expect(lines.join()).toContain('text/html')
  })

  test.each(['json', 'pretty'] as const)(
    'secrets are replaced in fields, messages, errors and bindings (%s)',
    async (format) => {
      const { log, lines } = await logging({ format, secrets: ['spd_canary', 'p"w\\canary'], level: 'debug' })

      log
        .child({ url: 'postgres://u:p"w\\canary@h' })
        .error({ err: new Error('with spd_canary'), deep: [{ a: 'spd_canary' }] }, 'p"w\\canary')
      log.info({ body: JSON.stringify({ key: 'p"w\\canary' }) }, 'quoted twice')

      expect(lines).toHaveLength(2)
      expect(lines.join()).not.toContain('canary')
      expect(lines.join()).toContain('[redacted]')
    },
  )

  test('secrets that become known later are replaced from then on, in child loggers too', async () => {
    const secrets = createSecrets(['spd_first'])
    const { log, lines } = await logging({ secrets })
    const child = log.child({ account: 'berlin' })

    child.info('spd_first and spd_later')
    secrets.add(['spd_later'])
    child.info('spd_first and spd_later')

    expect(lines.map((line) => JSON.parse(line).msg)).toEqual(['[redacted] and spd_later', '[redacted] and [redacted]'])
  })

  test('a secret that is part of another one leaves nothing of it', () => {
    expect(createRedact(['pass', 'password1'])('x password1 pass')).toBe('x [redacted] [redacted]')
  })

  test('a very short secret is replaced as a word of its own, and not inside other words', () => {
    expect(createRedact(['e'])('postgres://e:e@there')).toBe('postgres://[redacted]:[redacted]@there')
  })

  test.each([encodeURIComponent, encodeURI, JSON.stringify])(
    'a secret is replaced where it is spelled as by %o',
    (spell) => {
      const secret = 'p@ss "wörd"/+\\'

      expect(createRedact([secret])(`<${spell(secret)}>`)).not.toMatch(/w(ö|%C3%B6)rd/)
    },
  )

  test('a secret is replaced inside base64, except for a few letters at its ends', () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 12, unit: 'grapheme' }),
        fc.string({ unit: 'grapheme' }),
        fc.string({ unit: 'grapheme' }),
        fc.constantFrom('base64', 'base64url'),
        (secret, before, after, alphabet) => {
          const encoded = Buffer.from(`${before}${secret}${after}`).toString(alphabet)

          const redacted = createRedact([secret])(`authorization: Basic ${encoded}`)

          expect(redacted).toContain('[redacted]')
          expect(redacted.length).toBeLessThan(
            `authorization: Basic [redacted]`.length + encoded.length - secret.length,
          )
        },
      ),
    )
  })

  test('whatever the secret and the text, a line stays JSON and does not contain it', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ minLength: 4, unit: 'binary' }),
        fc.string({ unit: 'binary' }),
        async (secret, text) => {
          // What is left of a text may with its neighbours read like the replacement itself, which is no leak.
          fc.pre(!'[redacted]'.includes(secret))
          const { log, lines } = await logging({ secrets: [secret] })

          log.info({ value: `${text}${secret}${text}`, key: secret }, 'message')

          const line = JSON.parse(lines[0] ?? '')
          const withoutMarks = String(line.value ?? '').split('[redacted]')
          expect(withoutMarks.some((part) => part.includes(secret))).toBe(false)
        },
      ),
    )
  })
})

describe('pretty', () => {
  test('puts the fields under the message, within 80 columns, nulls left out', async () => {
    const { log, lines } = await logging({ format: 'pretty' })
    const counts = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`counter${index}`, index * 1000]))

    log.info({ status: 'complete', reason: null, note: 'two words', ...counts }, 'run finished')

    const text = lines.join('')
    expect(text).toMatch(/^\[\d\d:\d\d:\d\dZ\] INFO: run finished\n {4}status=complete note="two words" counter0=0/)
    expect(text).not.toContain('reason')
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
  })

  test('shows a duration with its units', async () => {
    const { log, lines } = await logging({ format: 'pretty' })

    log.info({ durationMs: 200_400, waitedMs: 0 }, 'run finished')

    expect(lines.join('')).toMatch(/ {4}duration="3 min 20 s" waited="0 s"\n$/)
  })

  test('shows an error with type and code, and no control characters', async () => {
    const { log, lines } = await logging({ format: 'pretty' })

    log.error(
      { err: Object.assign(new Error('bad \u001b[2J thing\nhappened'), { code: 'E1' }), raw: '\u001b[0m' },
      'run failed',
    )

    expect(lines.join('')).toContain('\n    Error (E1): bad  [2J thing happened\n')
    expect(lines.join('')).not.toContain('\u001b')
  })
})

describe('a character that a terminal acts on, or shows in another order', () => {
  const commands = [
    '\u001b[2J',
    '\u009b2J',
    '\u007f',
    '\u0085',
    '\u202edesrever',
    '\u2066x\u2069',
    '\u2028',
    '\ufeff',
    '\udfff',
  ]

  test.each(['json', 'pretty'] as const)('is escaped in every field (%s)', async (format) => {
    const { log, lines } = await logging({ format, level: 'trace' })

    for (const text of commands) {
      log
        .child({ bound: text })
        .error({ err: new Error(`a ${text}b`), [text]: text, deep: [`${text} two words`] }, text)
    }

    expect(lines.join('')).not.toMatch(/[^\P{C}\n]|[\p{Zl}\p{Zp}]/u)
  })

  test('is unchanged after the JSON is parsed', async () => {
    const { log, lines } = await logging()

    for (const text of [...commands, '\u{e0041}', '👩‍💻']) log.info({ text }, 'message')

    expect(lines.map((line) => JSON.parse(line).text)).toEqual([...commands, '\u{e0041}', '👩‍💻'])
  })
})
