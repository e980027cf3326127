import { describe, expect, test } from 'vitest'
import { type HeaderReader, readRateLimit, readRetryAfterMs } from '../../src/spidra/rate-limit-headers.js'

const NOW = Date.parse('2026-03-01T12:00:00Z')

function headers(values: Readonly<Record<string, string>>): HeaderReader {
  return (name) => values[name] ?? null
}

describe('the budget', () => {
  test.each([
    ['documented, reset as seconds from now', { 'ratelimit-reset': '42' }, 42_000],
    ['documented, reset as epoch seconds', { 'ratelimit-reset': String(NOW / 1000 + 42) }, 42_000],
    ['documented, reset as epoch milliseconds', { 'ratelimit-reset': String(NOW + 42_000) }, 42_000],
    ['a reset in fractions of a second', { 'ratelimit-reset': '0.25' }, 250],
    ['a reset that has passed', { 'ratelimit-reset': String(NOW / 1000 - 42) }, 0],
    ['a reset after more than a window', { 'ratelimit-reset': '86400' }, 900_000],
    ['no reset', {}, null],
    ['a reset that is no number', { 'ratelimit-reset': 'soon' }, null],
  ])('is read from three headers: %s', (_, reset, resetInMs) => {
    const answered = headers({ 'ratelimit-limit': '300', 'ratelimit-remaining': '17', ...reset })

    expect(readRateLimit(answered, NOW)).toEqual({ limit: 300, remaining: 17, resetInMs })
  })

  test.each([
    ['epoch seconds', 1e9],
    ['epoch milliseconds', 1e12],
  ])('has a reset in %s from September 2001 on', (_, reset) => {
    const answered = headers({ 'ratelimit-limit': '300', 'ratelimit-remaining': '17', 'ratelimit-reset': `${reset}` })

    expect(readRateLimit(answered, 1e12 - 42_000)?.resetInMs).toBe(42_000)
  })

  test.each([
    ['draft 7', { ratelimit: 'limit=60, remaining=5, reset=12' }],
    ['draft 7, no blanks', { ratelimit: 'limit=60,remaining=5,reset=12' }],
    ['draft 7, with its policy', { ratelimit: 'limit=60, remaining=5, reset=12', 'ratelimit-policy': '60;w=900' }],
    ['draft 8', { ratelimit: '"default";r=5;t=12', 'ratelimit-policy': '"default";q=60;w=900' }],
    ['draft 8, blanks', { ratelimit: '"default"; r=5; t=12', 'ratelimit-policy': '"default"; q=60; w=900' }],
    [
      'draft 8, several policies',
      { ratelimit: '"hour";r=5;t=12', 'ratelimit-policy': '"burst";q=10;w=1, "hour";q=60;w=3600' },
    ],
    ['draft 8, names not quoted', { ratelimit: 'default;r=5;t=12', 'ratelimit-policy': 'default;q=60;w=900' }],
  ])('is read from one header: %s', (_, values) => {
    expect(readRateLimit(headers(values), NOW)).toEqual({ limit: 60, remaining: 5, resetInMs: 12_000 })
  })

  test.each([
    ['reset as seconds from now', '12'],
    ['reset as epoch seconds', String(NOW / 1000 + 12)],
    ['reset as epoch milliseconds', String(NOW + 12_000)],
  ])('is read from the X-RateLimit headers: %s', (_, reset) => {
    const values = { 'x-ratelimit-limit': '60', 'x-ratelimit-remaining': '5', 'x-ratelimit-reset': reset }

    expect(readRateLimit(headers(values), NOW)).toEqual({ limit: 60, remaining: 5, resetInMs: 12_000 })
  })

  test.each([
    ['three headers', { 'ratelimit-limit': '60', 'ratelimit-remaining': '5', 'ratelimit-reset': '12' }],
    ['draft 7', { ratelimit: 'limit=60, remaining=5, reset=12' }],
    ['draft 8', { ratelimit: '"default";r=5;t=12', 'ratelimit-policy': '"default";q=60;w=900' }],
  ])('is read from %s before the X-RateLimit headers', (_, values) => {
    const others = { 'x-ratelimit-limit': '1000', 'x-ratelimit-remaining': '999', 'x-ratelimit-reset': '1' }

    expect(readRateLimit(headers({ ...others, ...values }), NOW)).toEqual({
      limit: 60,
      remaining: 5,
      resetInMs: 12_000,
    })
  })

  test.each([
    ['nothing', {}],
    ['no remaining', { 'ratelimit-limit': '300', 'ratelimit-reset': '42' }],
    ['no limit', { ratelimit: '"default";r=5;t=12' }],
    ['words', { 'ratelimit-limit': 'many', 'ratelimit-remaining': 'some', 'ratelimit-reset': 'soon' }],
    ['negative numbers', { 'ratelimit-limit': '-1', 'ratelimit-remaining': '-1' }],
    ['numbers that no database holds', { 'ratelimit-limit': '9'.repeat(400), 'ratelimit-remaining': '1' }],
    ['garbage', { ratelimit: ';;;=,"', 'ratelimit-policy': '=q=;' }],
  ])('is unknown if the answer reports %s', (_, values) => {
    expect(readRateLimit(headers(values), NOW)).toBeNull()
  })
})

describe('the wait', () => {
  const inSevenSeconds = new Date(NOW + 7000).toUTCString()
  const aMinuteAgo = new Date(NOW - 60_000).toUTCString()

  test.each([
    ['Retry-After in seconds', { 'retry-after': '7' }, undefined, 7000],
    ['Retry-After as a date', { 'retry-after': inSevenSeconds }, undefined, 7000],
    ['retry_after of the body', {}, 7, 7000],
    ['the reset, in seconds from now', { 'ratelimit-reset': '7' }, undefined, 7000],
    ['the reset, in epoch seconds', { 'ratelimit-reset': String(NOW / 1000 + 7) }, undefined, 7000],
    ['the reset, in epoch milliseconds', { 'ratelimit-reset': String(NOW + 7000) }, undefined, 7000],
    ['the reset of draft 7', { ratelimit: 'limit=60, remaining=0, reset=7' }, undefined, 7000],
    ['the reset of draft 8', { ratelimit: '"default";r=0;t=7' }, undefined, 7000],
    ['the reset of X-RateLimit-Reset', { 'x-ratelimit-reset': '7' }, undefined, 7000],
    ['X-RateLimit-Reset after the others', { 'x-ratelimit-reset': '60', 'ratelimit-reset': '7' }, undefined, 7000],
    ['Retry-After before the body', { 'retry-after': '7' }, 60, 7000],
    ['the body before the reset', { 'ratelimit-reset': '60' }, 7, 7000],
    ['Retry-After: 0 is no hint', { 'retry-after': '0' }, undefined, null],
    ['Retry-After: 0, but the body says more', { 'retry-after': '0' }, 7, 7000],
    ['a date that has passed is no hint', { 'retry-after': aMinuteAgo }, undefined, null],
    ['a negative retry_after is no hint', {}, -7, null],
    ['a text as retry_after is no hint', {}, '7', null],
    ['Retry-After: 0 and a reset', { 'retry-after': '0', 'ratelimit-reset': '7' }, undefined, 7000],
    ['at most 15 minutes, of a number that is too large', {}, Number.POSITIVE_INFINITY, 900_000],
    ['words are no hint', { 'retry-after': 'soon' }, undefined, null],
    ['nothing', {}, undefined, null],
    ['at most 15 minutes, of Retry-After', { 'retry-after': '86400' }, undefined, 900_000],
    ['at most 15 minutes, of a date', { 'retry-after': 'Fri, 31 Dec 9999 23:59:59 GMT' }, undefined, 900_000],
    ['at most 15 minutes, of the body', {}, 86_400, 900_000],
    ['at most 15 minutes, of the reset', { 'ratelimit-reset': '901' }, undefined, 900_000],
  ])('after a 429: %s', (_, values, bodyRetryAfter, waitMs) => {
    expect(readRetryAfterMs(headers(values), bodyRetryAfter, NOW, 429)).toBe(waitMs)
  })

  test('after another error does not include the reset, unless the budget is used up', () => {
    const budget = { 'ratelimit-limit': '300', 'ratelimit-reset': '800' }

    expect(readRetryAfterMs(headers({ ...budget, 'ratelimit-remaining': '299' }), undefined, NOW, 500)).toBeNull()
    expect(readRetryAfterMs(headers({ ...budget, 'ratelimit-remaining': '0' }), undefined, NOW, 500)).toBe(800_000)
  })
})
