import { expect, test } from 'vitest'
import { formatDuration } from '../../src/logging/printable.js'

test.each([
  [0, '0 s'],
  [0.009, '0 s'],
  [4.24, '4.2 s'],
  [9.95, '10 s'],
  [59.4, '59 s'],
  [60, '1 min'],
  [200, '3 min 20 s'],
  [3_599.6, '1 h'],
  [7_500, '2 h 5 min'],
  [86_399, '23 h 59 min'],
  [273_600, '3 d 4 h'],
  [86_400_000, '1,000 d'],
])('a duration of %d seconds is %s', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text)
})
