import { expect, test } from 'vitest'
import { isSweepDue, modeOf, openAllowance } from '../../src/sync/plan.js'

const settled = { isWhole: true, fullStartedAt: null, isUnsorted: false }

test.each([
  ['incremental', settled, 'incremental'],
  ['full', settled, 'full'],
  ['incremental', { ...settled, isWhole: false }, 'full'],
  ['incremental', { ...settled, fullStartedAt: new Date() }, 'full'],
  ['incremental', { ...settled, isUnsorted: true }, 'full'],
] as const)('a run asked to be %s with %j is %s', (asked, state, mode) => {
  expect(modeOf(asked, state)).toBe(mode)
})

test('the sweep is due once an hour', () => {
  const now = new Date('2026-01-01T10:05:00Z')
  expect(isSweepDue(null, now, 3_600_000)).toBe(true)
  expect(isSweepDue(new Date('2026-01-01T10:00:00Z'), now, 3_600_000)).toBe(false)
  expect(isSweepDue(new Date('2026-01-01T09:59:59Z'), now, 3_600_000)).toBe(true)
  expect(isSweepDue(new Date('2025-12-31T10:30:00Z'), now, 3_600_000)).toBe(true)
})

test('open jobs leave a quarter of the pages to the sweep', () => {
  expect(openAllowance(20)).toBe(15)
  expect(openAllowance(1)).toBe(0)
})
