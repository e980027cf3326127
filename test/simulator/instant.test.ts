import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fromIsoText, toIsoText } from '../../src/simulator/instant.js'

test('formats with as few digits as possible', () => {
  const noon = Date.parse('2026-02-28T12:34:56Z') * 1000
  expect(toIsoText(noon)).toBe('2026-02-28T12:34:56Z')
  expect(toIsoText(noon + 7_000)).toBe('2026-02-28T12:34:56.007Z')
  expect(toIsoText(noon + 7_001)).toBe('2026-02-28T12:34:56.007001Z')
})

test('agrees with Date, and parses what it formatted', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4e15 }), (instant) => {
      const text = toIsoText(instant)
      expect(Date.parse(text)).toBe(Math.floor(instant / 1000))
      expect(fromIsoText(text)).toBe(instant)
    }),
  )
})

test('parses offsets, and returns null for other text', () => {
  expect(fromIsoText('2026-03-01T02:00:00.5+02:00')).toBe(Date.parse('2026-03-01T00:00:00.500Z') * 1000)
  expect(fromIsoText('yesterday')).toBeNull()
})
