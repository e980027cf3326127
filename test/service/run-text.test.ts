import { expect, test } from 'vitest'
import { toRunText } from '../../src/service/run-output.js'
import type { RunSummary } from '../../src/sync/run-summary.js'

const SUMMARY: RunSummary = {
  ...{ status: 'complete', mode: 'full', account: 'default', runId: '1', reason: null, requests: 41, retries: 0 },
  ...{ pagesRead: 41, jobsRead: 2_050, inserted: 2_000, updated: 0, unchanged: 50, removed: 0, restored: 0 },
  ...{ rejected: 0, openUnread: 0, listedTotal: 2_000, storedTotal: 2_000, waitedMs: 0, durationMs: 1_340 },
}

test.each<[string, Partial<RunSummary>]>([
  [
    'Complete: the table holds all 2,000 jobs that the API lists.\n2,000 inserted, 50 unchanged, 41 requests, 1.3 s\n',
    {},
  ],
  [
    'Partial: fewer_stored_than_listed (2,001 listed, 2,000 stored).\n3 removed, 1 rejected, 1 request, 0.0 s\n',
    {
      ...{ status: 'partial', reason: 'fewer_stored_than_listed', listedTotal: 2_001, requests: 1, durationMs: 9 },
      ...{ inserted: 0, unchanged: 0, removed: 3, rejected: 1 },
    },
  ],
  ['Partial: page_faulty.\n', { status: 'partial', reason: 'page_faulty', listedTotal: null, storedTotal: null }],
  ['Failed: No answer.\n', { status: 'failed', reason: 'No answer.', listedTotal: null, storedTotal: null }],
  ['Aborted: stopped. The next run continues from there.\n', { status: 'aborted', reason: 'stopped' }],
  ['Skipped: another worker is running account default.\n', { status: 'skipped', runId: null }],
])('%j', (text, change) => {
  expect(toRunText({ ...SUMMARY, ...change }, { unstored: 0, outdated: 0 }).startsWith(text)).toBe(true)
})

test('what is in quarantine is counted apart from the jobs, in lines of 80 columns', () => {
  const complete = toRunText({ ...SUMMARY, listedTotal: 401, storedTotal: 401 }, { unstored: 1, outdated: 2 })
  const partial = { status: 'partial', reason: 'fewer_stored_than_listed', listedTotal: 403 } as const
  const huge = { listedTotal: 9_999_999, storedTotal: 9_999_999 }

  expect(complete.split('\n').slice(0, 3)).toEqual([
    'Complete: of 401 items that the API lists 400 are stored as jobs,',
    '1 in quarantine (spidra.rejected_jobs).',
    'The newest versions of 2 jobs are in quarantine (spidra.rejected_jobs).',
  ])
  expect(toRunText({ ...SUMMARY, ...partial, storedTotal: 401 }, { unstored: 1, outdated: 0 })).toMatch(
    /^Partial: fewer_stored_than_listed \(403 listed, 400 stored, 1 in quarantine\)\.\n/,
  )
  for (const line of toRunText({ ...SUMMARY, ...huge }, { unstored: 4_999_999, outdated: 4_999_999 }).split('\n'))
    expect(line.length, line).toBeLessThanOrEqual(80)
})
