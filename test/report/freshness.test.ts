import { expect, test } from 'vitest'
import type { DashboardData } from '../../src/report/dashboard-data.js'
import { toFreshLimitMs, toFreshness } from '../../src/report/freshness.js'

const at = (clock: string) => new Date(`2026-03-01T${clock}Z`)

const FRESH: DashboardData['freshness'] = {
  read_at: at('12:03:15'),
  complete_as_of: at('12:03:11'),
  every_job_reread_since: at('03:00:00'),
  lag_seconds: 4,
  next_run_at: at('12:07:15'),
  listed_jobs: 100,
  stored_jobs: 100,
  open_rejections: 0,
  results_due: null,
  status: 'complete',
  reason: null,
  error_message: null,
  started_at: at('12:02:15'),
  jobs_read: 50,
  pages_read: 1,
}
const NEVER = { ...FRESH, complete_as_of: null, lag_seconds: null, every_job_reread_since: null }

function words(
  change: Partial<DashboardData['freshness']>,
  budget: DashboardData['budget'] = null,
  firing: DashboardData['alerts'] = [],
  load: DashboardData['progress'] = null,
) {
  const { tone, headline, alerts, details, progress } = toFreshness({
    ...{ account: 'default', budget, alerts: firing, progress: load },
    freshness: { ...FRESH, ...change },
  })
  return { tone, headline, ...(firing.length > 0 && { alerts }), details: details.join(' '), progress }
}

test('a fresh account is good, with the time of the verdict and of the next run', () => {
  expect(words({})).toEqual({
    tone: 'good',
    headline: 'Complete as of 12:03:11 UTC, 4 s ago; next run in 4 min',
    details: 'Every job read again since 03:00:00 UTC.',
    progress: null,
  })
})

test('an account without any run says so', () => {
  const nothing = { ...NEVER, status: null, next_run_at: null, started_at: null, listed_jobs: null, jobs_read: null }

  expect(words(nothing)).toMatchObject({
    tone: 'warning',
    headline: 'No run yet for account default; no next run is scheduled',
  })
})

test('a first pass under way shows its progress, if the total is known', () => {
  const running = { ...NEVER, status: 'running', jobs_read: 1_250, pages_read: 25 }

  expect(words({ ...running, listed_jobs: 5_000 })).toMatchObject({
    tone: 'warning',
    headline: 'Not complete yet: the first pass is under way, 1,250 jobs on 25 pages read in this run',
    details: 'Numbers on this page are those of the jobs stored so far.',
    progress: 0.25,
  })
  expect(words({ ...running, listed_jobs: null }).progress).toBeNull()
})

test('a first load is described by its progress, and a full pass over a complete table by a detail', () => {
  const load: DashboardData['progress'] = {
    asOf: at('12:03:15').toISOString(),
    kind: 'first_load',
    doneJobs: 4_998,
    listedJobs: 20_000,
    percent: 24,
    isRunning: true,
    waitsFor: 'request_budget',
    waitsUntil: at('20:40:00').toISOString(),
    doneAt: null,
  }
  const line = '4,998 of 20,000 jobs (24 %), waiting for the request budget until 20:40 UTC'

  expect(words({ ...NEVER, status: 'running' }, null, [], load)).toMatchObject({
    headline: `Not complete yet: ${line}`,
    progress: 0.24,
  })
  expect(words({}, null, [], { ...load, kind: 'reread' })).toMatchObject({
    tone: 'good',
    details: `Full pass: ${line.replace('jobs', 'jobs read again')}. Every job read again since 03:00:00 UTC.`,
  })
})

test('a first pass that was cut off announces that the next run goes on', () => {
  const partial = { ...NEVER, status: 'partial', reason: 'first_pass_unfinished' }

  expect(words(partial)).toMatchObject({
    tone: 'warning',
    headline: 'Not complete yet; next run in 4 min',
    details: expect.stringContaining(
      'The last run was partial (first_pass_unfinished): the list has not been read to its end yet. Run sync again, or leave the service running: each run continues where the last one ended.',
    ),
  })
})

test('a failed run is bad even if the table is fresh, and says what to do', () => {
  const message = 'Spidra answered 401: it saw no key. Check SPIDRA_API_KEY.'
  const failed = { status: 'failed', reason: 'unauthorized', error_message: message }

  expect(words(failed)).toMatchObject({
    tone: 'bad',
    headline: expect.stringMatching(/^Complete as of 12:03:11 UTC/),
    details: expect.stringMatching(
      /^The last run failed \(unauthorized\)\. Spidra answered 401: it saw no key\. Check SPIDRA_API_KEY\. Every job/,
    ),
  })
})

test('a firing alert turns good into warning, leaves bad as it is, and is shown with its start', () => {
  const alert = { kind: 'stuck_jobs', since: at('11:00:00'), summary: '15 jobs are stuck.' }

  expect(words({}, null, [alert])).toMatchObject({
    tone: 'warning',
    headline: expect.stringMatching(/^Complete as of 12:03:11 UTC/),
    alerts: ['Alert stuck_jobs since 11:00:00 UTC: 15 jobs are stuck.'],
  })
  expect(words({ status: 'failed' }, null, [alert]).tone).toBe('bad')
})

test('an error message that an alert contains is not repeated', () => {
  const message = 'Spidra answered 401: check SPIDRA_API_KEY.'
  const alert = { kind: 'key_refused', since: at('11:00:00'), summary: `The last run was refused: ${message}` }
  const failed = { status: 'failed', reason: 'unauthorized', error_message: message }

  expect(words(failed, null, [alert]).details).toMatch(/^The last run failed \(unauthorized\)\. Every job/)
})

test('the limit of freshness is three intervals, and at least 15 minutes', () => {
  expect(toFreshLimitMs(10 * 60_000)).toBe(30 * 60_000)
  expect(toFreshLimitMs(1_000)).toBe(15 * 60_000)
})

test('an account is stale after that limit, or after an hour if no run is scheduled', () => {
  const toneAfter = (minutes: number, next: Date | null) => words({ lag_seconds: minutes * 60, next_run_at: next }).tone

  expect([toneAfter(14, FRESH.next_run_at), toneAfter(16, FRESH.next_run_at)]).toEqual(['good', 'warning'])
  // The last run started at 12:02:15, so the interval is ten minutes.
  expect([toneAfter(29, at('12:12:15')), toneAfter(31, at('12:12:15'))]).toEqual(['good', 'warning'])
  expect([toneAfter(59, null), toneAfter(61, null)]).toEqual(['good', 'warning'])
  expect(words({ lag_seconds: 7_200 }).details).toContain('older than it should be')
})

test('a run that was due and did not start is reported, and one under way is not late', () => {
  expect(words({ next_run_at: at('12:00:00') })).toMatchObject({
    tone: 'warning',
    headline: expect.stringContaining('the next run was due at 12:00:00 UTC: is the service running?'),
  })
  expect(words({ next_run_at: at('12:00:00'), status: 'running' })).toMatchObject({
    tone: 'good',
    headline: expect.stringContaining('a run is under way'),
  })
})

test('a run that may wait for the budget says until when', () => {
  const budget = { rate_limit: 300, rate_remaining: 150, rate_reset_at: at('12:15:00') }

  expect(words({ status: 'running' }, budget).details).toContain('150 of 300 requests left until 12:15:00 UTC')
  expect(words({ status: 'running' }, { ...budget, rate_remaining: 151 }).details).not.toContain('budget')
  expect(words({ status: 'running' }, { ...budget, rate_reset_at: at('12:03:00') }).details).not.toContain('budget')
})

test('items in quarantine are reported as missing in the numbers', () => {
  expect(words({ open_rejections: 0 }).details).not.toContain('quarantine')
  expect(words({ open_rejections: 1 }).details).toContain(
    '1 listed item could not be stored as listed: in quarantine (spidra.rejected_jobs), not in these numbers.',
  )
  expect(words({ ...NEVER, status: 'running', open_rejections: 2_000 }).details).toContain(
    '2,000 listed items could not',
  )
})

test('a time of another day is shown with its date', () => {
  expect(words({ complete_as_of: new Date('2026-02-28T23:59:00Z'), lag_seconds: 43_455 }).headline).toContain(
    '2026-02-28 23:59:00 UTC, 12 h 4 min ago',
  )
})

test('a run counts as late from two minutes after it was due, and until then as due now', () => {
  for (const due of ['12:03:15', '12:01:15']) {
    expect(words({ next_run_at: at(due) })).toMatchObject({
      tone: 'good',
      headline: expect.stringMatching(/; next run now$/),
    })
  }
  expect(words({ next_run_at: at('12:01:14') })).toMatchObject({
    tone: 'warning',
    headline: expect.stringMatching(/was due at 12:01:14 UTC/),
  })
})

test('the limits of freshness belong to what is fresh', () => {
  expect(words({ lag_seconds: 15 * 60 }).tone).toBe('good')
  expect(words({ lag_seconds: 60 * 60, started_at: null }).tone).toBe('good')
})

test('a partial run is a warning even if the table is fresh, and a failed first pass is bad', () => {
  expect(words({ status: 'partial', reason: 'list_moving' }).tone).toBe('warning')
  expect(words({ ...NEVER, status: 'failed', reason: 'timeout' })).toMatchObject({ tone: 'bad', progress: null })
})

test('a run without a reason or a message is reported in one plain sentence', () => {
  const ended = { every_job_reread_since: null, status: 'aborted', reason: null, error_message: '' }

  expect(words(ended).details).toBe('The last run was aborted.')
  expect(words({ ...ended, error_message: 'Why.' }).details).toBe('The last run was aborted. Why.')
})

test('what is not known is left out', () => {
  const silent = { every_job_reread_since: null, open_rejections: null }

  expect(words(silent)).toMatchObject({ tone: 'good', details: '' })
  expect(words({ ...silent, status: null }).details).toBe('')
  expect(words({ ...NEVER, status: null }).details).toBe('Nothing is stored before the first run.')
  expect(words({ ...NEVER, status: 'running', listed_jobs: 0 }).progress).toBeNull()
})

test('a budget of which a figure is missing, or whose window is over, is no reason to wait', () => {
  const budget = { rate_limit: 300, rate_remaining: 1, rate_reset_at: at('12:15:00') }
  const missing = [{ rate_limit: null }, { rate_remaining: null }, { rate_reset_at: null }]

  for (const change of [...missing, { rate_reset_at: FRESH.read_at }, { rate_remaining: 151 }]) {
    expect(words({ status: 'running', every_job_reread_since: null }, { ...budget, ...change }).details).toBe('')
  }
})
