import { expect, test } from 'vitest'
import { toRunText } from '../../src/service/run-output.js'
import { SpidraError } from '../../src/spidra/errors.js'
import { YieldError } from '../../src/sync/interruptions.js'
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
    'Partial: the API counts more jobs than it lists (2,001 listed, 2,000 stored). The next full run tries again. Look into spidra.rejected_jobs if it stays.\n3 removed, 1 rejected, 1 request, 0 s\n',
    {
      ...{ status: 'partial', reason: 'fewer_stored_than_listed', listedTotal: 2_001, requests: 1, durationMs: 9 },
      ...{ inserted: 0, unchanged: 0, removed: 3, rejected: 1 },
    },
  ],
  [
    'Partial: a page contradicted itself, or came from a cache, after all retries; what it listed was kept. The log',
    { status: 'partial', reason: 'page_faulty', listedTotal: null, storedTotal: null },
  ],
  [
    'Failed: No answer. This is a fault of spidra-sync',
    { status: 'failed', reason: 'No answer.', listedTotal: null, storedTotal: null },
  ],
  ['Aborted: stopped. The next run continues from there.\n', { status: 'aborted', reason: 'stopped' }],
  ['Partial: most stored jobs are no longer listed,', { status: 'partial', reason: 'mass_removal' }],
  ['Skipped: another worker is running account default.\n', { status: 'skipped', runId: null }],
])('%j', (text, change) => {
  expect(toRunText({ ...SUMMARY, ...change }, { unstored: 0, outdated: 0 }).startsWith(text)).toBe(true)
})

test.each([
  [
    'Failed: Spidra answered 500. The next run tries again. If it lasts, report it to Spidra.\n',
    { status: 'failed', reason: 'Spidra answered 500' },
    new SpidraError('Spidra answered 500', { code: 'server_error', status: 500 }),
  ],
  [
    'Failed: Spidra answered 401: check the key.\n',
    { status: 'failed', reason: 'Spidra answered 401: check the key' },
    new SpidraError('Spidra answered 401: check the key', { code: 'unauthorized', status: 401 }),
  ],
  [
    'Aborted: the run left its account to another worker. The next run continues from there.\n',
    { status: 'aborted', reason: 'The run stopped here' },
    new YieldError(),
  ],
  // A stop interrupts a request.
  [
    'Aborted: The worker was asked to stop. The next run continues from there.\n',
    { status: 'aborted', reason: 'The worker was asked to stop' },
    new SpidraError('No answer', { code: 'network', status: null }),
  ],
] satisfies [string, Partial<RunSummary>, Error][])('says what to do about the error: %s', (text, change, error) => {
  expect(toRunText({ ...SUMMARY, ...change }, { unstored: 0, outdated: 0 }, error).startsWith(text)).toBe(true)
})

test('what is in quarantine is counted apart from the jobs', () => {
  const complete = toRunText({ ...SUMMARY, listedTotal: 401, storedTotal: 401 }, { unstored: 1, outdated: 2 })
  const partial = { status: 'partial', reason: 'fewer_stored_than_listed', listedTotal: 403 } as const

  expect(complete.split('\n').slice(0, 3)).toEqual([
    'Complete: of 401 items that the API lists 400 are stored as jobs, 1 in quarantine (spidra.rejected_jobs).',
    'The newest versions of 2 jobs are in quarantine (spidra.rejected_jobs).',
    expect.stringMatching(/^2,000 inserted/),
  ])
  expect(toRunText({ ...SUMMARY, ...partial, storedTotal: 401 }, { unstored: 1, outdated: 0 })).toMatch(
    /^Partial: the API counts more jobs than it lists \(403 listed, 400 stored, 1 in quarantine\)\. /,
  )
})
