import fc from 'fast-check'
import { validate } from 'node-cron'
import { describe, expect, test } from 'vitest'
import { createCron } from '../../src/scheduler/cron.js'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** The first ticks after an instant, to the minute. */
function ticks(expression: string, timezone: string, after: string, count: number): string[] {
  const cron = createCron(expression, timezone)
  const found: string[] = []
  for (let at = cron.next(Date.parse(after)); at !== null && found.length < count; at = cron.next(at)) {
    found.push(new Date(at).toISOString().slice(0, 16))
  }
  return found
}

describe('a schedule', () => {
  test.each([
    ['*/5 * * * *', 'Etc/UTC', '2027-01-01T00:00:00Z', ['2027-01-01T00:05', '2027-01-01T00:10']],
    ['*/5 * * * *', 'Etc/UTC', '2027-12-31T23:55:00Z', ['2028-01-01T00:00', '2028-01-01T00:05']],
    ['@daily', 'Asia/Kathmandu', '2027-01-01T00:00:00Z', ['2027-01-01T18:15', '2027-01-02T18:15']],
    ['0 9 * * MON-FRI', 'America/New_York', '2027-01-01T20:00:00Z', ['2027-01-04T14:00', '2027-01-05T14:00']],
    ['0 0 L * *', 'Etc/UTC', '2027-02-01T00:00:00Z', ['2027-02-28T00:00', '2027-03-31T00:00']],
    ['0 0 * * MON#2', 'Etc/UTC', '2027-02-01T00:00:00Z', ['2027-02-08T00:00', '2027-03-08T00:00']],
    ['0 0 29 2 *', 'Etc/UTC', '2096-03-01T00:00:00Z', ['2104-02-29T00:00', '2108-02-29T00:00']],
  ])('%s in %s is due when cron says', (expression, timezone, after, expected) => {
    expect(ticks(expression, timezone, after, expected.length)).toEqual(expected)
  })

  test('of seconds is due at the second, and never at the instant that it is asked from', () => {
    const cron = createCron('*/10 * * * * *', 'Etc/UTC')

    expect(cron.next(1_000_000_000_000)).toBe(1_000_000_010_000 - (1_000_000_000_000 % 10_000))
    expect(cron.next(1_000_000_009_999)).toBe(1_000_000_010_000)
    expect(cron.next(1_000_000_010_000)).toBe(1_000_000_020_000)
  })

  test('of a date that never comes is never due', () => {
    expect(validate('0 0 1 1 MON#2')).toBe(true)
    expect(createCron('0 0 1 1 MON#2', 'Etc/UTC').next(Date.UTC(2027))).toBeNull()
  })
})

describe('where clocks change', () => {
  test.each([
    ['forward', '2027-03-28T00:50:00Z', ['2027-03-28T00:55', '2027-03-28T01:00', '2027-03-28T01:05']],
    ['back', '2027-10-31T00:50:00Z', ['2027-10-31T00:55', '2027-10-31T01:00', '2027-10-31T01:05']],
    ['back, an hour later', '2027-10-31T01:50:00Z', ['2027-10-31T01:55', '2027-10-31T02:00', '2027-10-31T02:05']],
  ])('%s: every five minutes stays every five minutes', (_, after, expected) => {
    expect(ticks('*/5 * * * *', 'Europe/Berlin', after, 3)).toEqual(expected)
  })

  test('forward: a time that is left out comes an hour later by the wall', () => {
    expect(ticks('30 2 * * *', 'Europe/Berlin', '2027-03-27T12:00:00Z', 2)).toEqual([
      '2027-03-28T01:30',
      '2027-03-29T00:30',
    ])
  })

  test('back: a time that comes twice counts once, the first time', () => {
    expect(ticks('30 2 * * *', 'Europe/Berlin', '2027-10-30T12:00:00Z', 2)).toEqual([
      '2027-10-31T00:30',
      '2027-11-01T01:30',
    ])
    expect(ticks('30 2 * * *', 'Europe/Berlin', '2027-10-31T00:40:00Z', 1)).toEqual(['2027-11-01T01:30'])
  })

  test('over midnight, by half an hour, and in the zones of the south', () => {
    // Santiago goes back from midnight to 23:00, Lord Howe by half an hour.
    expect(ticks('30 23 * * *', 'America/Santiago', '2027-04-03T12:00:00Z', 2)).toEqual([
      '2027-04-04T02:30',
      '2027-04-05T03:30',
    ])
    expect(ticks('0 * * * *', 'America/Santiago', '2027-04-04T01:30:00Z', 3)).toEqual([
      '2027-04-04T02:00',
      '2027-04-04T03:00',
      '2027-04-04T04:00',
    ])
    expect(ticks('45 1 * * *', 'Australia/Lord_Howe', '2027-04-03T00:00:00Z', 2)).toEqual([
      '2027-04-03T14:45',
      '2027-04-04T15:15',
    ])
  })

  test('a schedule of minutes has no gap in any zone, and one of a day comes every day once', () => {
    const zones = ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'America/Santiago', 'Africa/Casablanca']
    const instant = fc.integer({ min: Date.UTC(2026) / MINUTE_MS, max: Date.UTC(2030) / MINUTE_MS })
    fc.assert(
      fc.property(fc.constantFrom(...zones), instant, fc.nat(1439), (zone, minute, time) => {
        const after = minute * MINUTE_MS
        expect(createCron('* * * * *', zone).next(after)).toBe(after + MINUTE_MS)

        const daily = createCron(`${time % 60} ${Math.floor(time / 60)} * * *`, zone)
        const first = daily.next(after) ?? 0
        const second = daily.next(first) ?? 0
        expect(first - after).toBeGreaterThan(0)
        expect(first - after).toBeLessThanOrEqual(25 * HOUR_MS)
        expect(second - first).toBeGreaterThanOrEqual(23 * HOUR_MS)
        expect(second - first).toBeLessThanOrEqual(25 * HOUR_MS)
      }),
      { numRuns: 300 },
    )
  })
})
