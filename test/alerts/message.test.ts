import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { type Notification, toMessage } from '../../src/alerts/message.js'
import { createRedact } from '../../src/logging/redact.js'

const NOTIFICATION: Notification = {
  account: 'default',
  kind: 'runs_failing',
  state: 'firing',
  since: new Date('2026-03-01T12:00:00.123Z'),
  summary: '3 runs in a row failed, the last one (run 12): Spidra answered 503 (Service Unavailable)',
  details: {
    failedRuns: 3,
    runId: '12',
    errorCode: 'server_error',
    errorMessage: 'Spidra answered 503 (Service Unavailable)',
  },
}
const compose = (change: Partial<Notification> = {}, secrets: readonly string[] = []) =>
  toMessage({ ...NOTIFICATION, ...change }, createRedact(secrets))

test('is the sample of docs/alerts.md', () => {
  expect(readFileSync('docs/alerts.md', 'utf8')).toContain(`\`\`\`json\n${JSON.stringify(compose(), null, 2)}\n\`\`\``)
})

test('marks a resolved alert with another symbol and word', () => {
  const { text } = compose({ state: 'resolved', summary: 'Runs no longer fail.', details: {} })

  expect(text).toBe('\u{1f7e2} [resolved] spidra-sync, account default: Runs no longer fail.')
})

test('has the same id for the same change of state, and another for the next', () => {
  expect(compose({ summary: 'other words' }).id).toBe(compose().id)
  expect(compose({ since: new Date('2026-03-01T12:00:00.124Z') }).id).not.toBe(compose().id)
})

describe('a hostile text', () => {
  test('makes no link, no mention and no markup in a chat', () => {
    const { text } = compose({ account: '<!channel>', summary: '<https://evil.test|click> & @everyone' })

    expect(text).not.toMatch(/[<>]|@\w|&(?!amp;|lt;|gt;)/)
    expect(text).toContain('&lt;!channel&gt;')
    expect(text).toContain('&lt;https://evil.test|click&gt; &amp; @\u200beveryone')
  })

  test('is unchanged in the fields, which are not markup', () => {
    expect(compose({ summary: '<b> & @x' }).summary).toBe('<b> & @x')
  })

  test('loses control characters and marks of the reading direction', () => {
    const { text, summary, details } = compose({
      summary: 'a\u001b[2J\n\u202eb\ud800c',
      details: { errorMessage: 'a\u0000\nb' },
    })

    expect(summary).toBe('a [2J b c')
    expect(text).toMatch(/: a \[2J b c$/)
    expect(details).toEqual({ errorMessage: 'a b' })
  })

  test('is cut, but not inside a character', () => {
    const long = '\u{1f600}<'.repeat(100_000)
    const message = compose({ account: long, summary: long, details: { errorMessage: long } })

    expect(Array.from(message.summary)).toHaveLength(500)
    expect(JSON.stringify(message).length).toBeLessThan(12_000)
    expect(message.text.isWellFormed()).toBe(true)
  })
})

test('shows no secret', () => {
  const secret = 'a-secret-nobody-may-see'
  const change = { account: secret, summary: `key ${secret}`, details: { errorMessage: secret, uuids: [secret] } }

  expect(JSON.stringify(compose(change, [secret]))).not.toContain(secret)
})
