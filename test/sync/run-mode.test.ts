import { expect, test } from 'vitest'
import { openAllowance } from '../../src/sync/open-jobs.js'
import { mayReadOn } from '../../src/sync/read-all.js'
import { isSweepDue } from '../../src/sync/read-recent.js'
import { modeOf } from '../../src/sync/run-mode.js'

const settled = { isWhole: true, fullStartedAt: null, isUnsorted: false }

test.each([
  ['incremental', settled, 'incremental'],
  ['full', settled, 'full'],
  ['incremental', { ...settled, isWhole: false }, 'full'],
  ['incremental', { ...settled, fullStartedAt: new Date('2026-01-01T10:00:00Z') }, 'full'],
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

test('a full pass leaves the rest of a window to the heads that are due in it, but at most three quarters', () => {
  const everyMs = 300
  const may = (requests: number, endsInMs: number, dueInMs = everyMs, share = 100) =>
    mayReadOn({ requests, share, endsInMs }, { dueInMs, everyMs, requests: 4 })
  expect(mayReadOn(null, { dueInMs: 0, everyMs, requests: 4 })).toBe(true)
  // Due at 300 and 600 of 899: two heads.
  expect([may(9, 899), may(8, 899)]).toEqual([true, false])
  // A third one is due as the window ends, unless the next window comes first.
  expect([may(12, 901), may(13, 901)]).toEqual([false, true])
  expect([may(0, 300), may(1, 300)]).toEqual([false, true])
  // Overdue.
  expect([may(4, 299, 0), may(5, 299, 0)]).toEqual([false, true])
  // However much it costs.
  expect([may(75, 9_000), may(76, 9_000)]).toEqual([false, true])
})
