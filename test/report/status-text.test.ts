import { describe, expect, test } from 'vitest'
import type { RunReport, StatusReport } from '../../src/report/status.js'
import { toStatusText } from '../../src/report/status-text.js'

const RUN: RunReport = {
  id: '12',
  mode: 'incremental',
  trigger: 'schedule',
  status: 'complete',
  reason: null,
  errorMessage: null,
  startedAt: '2026-03-01T12:00:00.123Z',
  finishedAt: '2026-03-01T12:00:01.357Z',
  durationMs: 1234,
  requests: 1,
  retries: 0,
  pagesRead: 1,
  seamsRepaired: 0,
  jobsRead: 50,
  inserted: 3,
  updated: 2,
  unchanged: 45,
  removed: 0,
  restored: 0,
  rejected: 0,
  listedTotal: 50,
  storedTotal: 50,
  waitedMs: 0,
}
const REPORT: StatusReport = {
  account: 'default',
  lastCompleteAt: '2026-03-01T12:00:01.300Z',
  rereadSince: '2026-03-01T03:00:00.000Z',
  lagSeconds: 240,
  nextRunAt: '2026-03-01T12:05:00.000Z',
  rateLimit: { limit: 300, remaining: 240, resetAt: '2026-03-01T12:15:00.000Z' },
  liveJobs: 50,
  openRejections: 0,
  runs: [RUN],
}
const EMPTY: StatusReport = {
  ...REPORT,
  lastCompleteAt: null,
  rereadSince: null,
  lagSeconds: null,
  nextRunAt: null,
  rateLimit: null,
  liveJobs: 0,
  runs: [],
}

const firstLine = (report: StatusReport) => toStatusText(report).split('\n')[0]

test('reads as a page: freshness, stock, outlook, runs', () => {
  expect(toStatusText(REPORT)).toBe(
    `Complete as of 4 minutes ago (2026-03-01 12:00:01 UTC).
Every job read again since 2026-03-01 03:00:00 UTC.
Account default: 50 jobs stored.
Next run: 2026-03-01 12:05:00 UTC.
Requests left: 240 of 300 until 2026-03-01 12:15:00 UTC.

Started (UTC)    Mode        Status    Took Read New Changed Removed
2026-03-01 12:00 incremental complete 1.2 s   50   3       2       0
`,
  )
})

test('without any run it says so', () => {
  expect(toStatusText(EMPTY)).toBe('No run yet.\nAccount default: 0 jobs stored.\n')
})

describe('the first line says how fresh the table is', () => {
  test.each([
    [0, '0 seconds ago'],
    [1, '1 second ago'],
    [89, '89 seconds ago'],
    [90, '2 minutes ago'],
    [5400, '2 hours ago'],
    [172_800, '2 days ago'],
  ])('%i seconds after the last complete run', (lagSeconds, words) => {
    expect(firstLine({ ...REPORT, lagSeconds })).toBe(`Complete as of ${words} (2026-03-01 12:00:01 UTC).`)
  })

  test('and that no run has been complete', () => {
    expect(firstLine({ ...EMPTY, runs: [{ ...RUN, status: 'failed' }] })).toBe('No complete run yet.')
  })
})

test('a last run that is not complete is named, with its reason', () => {
  const failed = { ...RUN, status: 'failed', reason: 'unauthorized', errorMessage: 'Check SPIDRA_API_KEY' }

  const text = toStatusText({ ...REPORT, runs: [failed, RUN] })

  expect(text).toContain('\nThe last run: failed (unauthorized).\n')
  expect(text).toMatch(/\n\nRun 12 failed: unauthorized: Check SPIDRA_API_KEY\n$/)
  expect(toStatusText({ ...REPORT, runs: [{ ...RUN, status: 'running' }] })).toContain('\nA run is under way.\n')
})

test('fits 80 columns with an account of millions, and obeys no message', () => {
  const big = { jobsRead: 9_999_999, inserted: 9_999_999, updated: 9_999_999, removed: 9_999_999 }
  const runs = [
    { ...RUN, ...big, durationMs: 45_296_000 },
    {
      ...RUN,
      ...big,
      status: 'partial',
      reason: 'mass_removal',
      errorMessage: `\u001b[2J ${'long words '.repeat(20)}`,
    },
  ]

  const text = toStatusText({ ...REPORT, runs, openRejections: 9_999_999, liveJobs: 9_999_999 })

  expect(text).toContain('12h 34m')
  expect(text).not.toContain('\u001b')
  expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
})
