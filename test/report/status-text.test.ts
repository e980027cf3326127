import { describe, expect, test } from 'vitest'
import type { LoadProgress } from '../../src/report/load-progress.js'
import type { RunReport, StatusReport } from '../../src/report/status.js'
import { type Paint, toStatusLines, toStatusText } from '../../src/report/status-text.js'

const RUN: RunReport = {
  id: '12',
  mode: 'incremental',
  trigger: 'schedule',
  status: 'complete',
  reason: null,
  errorMessage: null,
  startedAt: '2026-03-01T12:00:00.123Z',
  finishedAt: '2026-03-01T12:00:01.357Z',
  heartbeatAt: '2026-03-01T12:00:01.357Z',
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
  asOf: '2026-03-01T12:04:01.300Z',
  lastCompleteAt: '2026-03-01T12:00:01.300Z',
  rereadSince: '2026-03-01T03:00:00.000Z',
  lagSeconds: 240,
  nextRunAt: '2026-03-01T12:05:00.000Z',
  rateLimit: { limit: 300, remaining: 240, resetAt: '2026-03-01T12:15:00.000Z' },
  today: { day: '2026-03-01', runs: 145, requests: 1234, retries: 5, waitedMs: 61_000 },
  progress: null,
  alerts: [],
  liveJobs: 50,
  stuckJobs: 0,
  openRejections: 0,
  outdatedJobs: 0,
  runs: [RUN],
}
const EMPTY: StatusReport = {
  ...REPORT,
  lastCompleteAt: null,
  rereadSince: null,
  lagSeconds: null,
  nextRunAt: null,
  rateLimit: null,
  today: { day: '2026-03-01', runs: 0, requests: 0, retries: 0, waitedMs: 0 },
  liveJobs: 0,
  runs: [],
}

const firstLine = (report: StatusReport) => toStatusText(report).split('\n')[0]

test('shows freshness, stored jobs, next run and the last runs, in this order', () => {
  expect(toStatusText(REPORT)).toBe(
    `Complete as of 4 min ago (2026-03-01 12:00:01 UTC).
Every job read again since 2026-03-01 03:00:00 UTC.
Account default: 50 jobs stored.
Next run: 2026-03-01 12:05:00 UTC.
Requests left: 240 of 300 until 2026-03-01 12:15:00 UTC.
Requests today (UTC): 1,234 in 145 runs, 1 min 1 s waited.

Started (UTC) Mode        Status    Took Read New Changed Removed
12:00         incremental complete 1.2 s   50   3       2       0
`,
  )
})

const RESULTS = {
  ...{ asOf: '2026-03-01T12:04:00.000Z', mode: 'items', endedJobs: 5_000, dueJobs: 50, completeAsOf: null },
  doneAt: '2026-03-01T14:30:00.000Z',
}

test('says how far the results are where they are kept', () => {
  expect(toStatusText({ ...REPORT, results: RESULTS })).toContain(
    '\nResults: 4,950 of 5,000 ended batches read, 50 due, done about 14:30 UTC.\nAccount default: 50 jobs stored.\n',
  )
})

test('of several accounts, it says so of those that have batches to read', () => {
  const reports = [REPORT, { ...REPORT, account: 'a', results: { ...RESULTS, dueJobs: 0 } }]
  expect(toStatusLines(reports)).not.toContain('Results')
  expect(toStatusLines([...reports, { ...REPORT, account: 'b', results: RESULTS }])).toContain(
    '\n\nResults of b: 4,950 of 5,000 ended batches read, 50 due, done about 14:30 UTC.\n`spidra-sync status',
  )
})

test('without any run it says so', () => {
  expect(toStatusText(EMPTY)).toBe('No run yet.\nAccount default: 0 jobs stored.\n')
})

describe('the first line says how fresh the table is', () => {
  test.each([
    [0, '0 s ago'],
    [1, '1 s ago'],
    [89, '1 min 29 s ago'],
    [90, '1 min 30 s ago'],
    [5400, '1 h 30 min ago'],
    [172_800, '2 d ago'],
  ])('%i seconds after the last complete run', (lagSeconds, words) => {
    expect(firstLine({ ...REPORT, lagSeconds })).toBe(`Complete as of ${words} (2026-03-01 12:00:01 UTC).`)
  })

  test('and that no run has been complete', () => {
    expect(firstLine({ ...EMPTY, runs: [{ ...RUN, status: 'failed' }] })).toBe('No complete run yet.')
  })
})

test('a last run that is not complete is shown with its reason', () => {
  const failed = { ...RUN, status: 'failed', reason: 'unauthorized', errorMessage: 'Check SPIDRA_API_KEY' }

  const text = toStatusText({ ...REPORT, runs: [failed, RUN] })

  expect(text).toContain('\nThe last run failed (unauthorized).\n')
  expect(text).toMatch(/\n\nRun 12 failed \(unauthorized\): Check SPIDRA_API_KEY\n$/)
  expect(toStatusText({ ...REPORT, runs: [{ ...RUN, status: 'running', heartbeatAt: REPORT.asOf }] })).toContain(
    '\nA run is under way.\n',
  )
})

test('a last run that is partial says what its reason means, and what to do', () => {
  const text = toStatusText({ ...REPORT, runs: [{ ...RUN, status: 'partial', reason: 'mass_removal' }] })

  expect(text.replaceAll('\n', ' ')).toContain(
    'The last run was partial (mass_removal): most stored jobs are no longer listed, so nothing was marked as removed. Check the key: ',
  )
  expect(text).toMatch(/\n\nRun 12 partial \(mass_removal\)\n$/)
})

describe('after the service was stopped', () => {
  const later = (asOf: string) => toStatusText({ ...REPORT, asOf }).replaceAll('\n', ' ')

  test('a next run in the past is none, and says so', () => {
    expect(later('2026-03-01T12:05:30.000Z')).toContain(' The next run is due since 2026-03-01 12:05:00 UTC. ')
    expect(later('2026-03-01T12:07:01.000Z')).toContain(
      ' No next run is known: one was due at 2026-03-01 12:05:00 UTC. Is the service running? ',
    )
  })

  test('a window of the request budget that is over leaves all requests', () => {
    expect(later('2026-03-01T12:15:00.000Z')).toContain(' Requests left: all 300, since 2026-03-01 12:15:00 UTC. ')
  })

  test('a run without a recent heartbeat is not under way', () => {
    const runs = [{ ...RUN, status: 'running', finishedAt: null, heartbeatAt: RUN.startedAt }]
    const text = toStatusText({ ...REPORT, asOf: '2026-03-01T12:10:00.123Z', runs })

    expect(text).toContain('\nThe last run has sent no heartbeat for 10 min: the next run continues it.\n')
    expect(text).not.toContain('under way')
  })
})

describe('an error message is shown once', () => {
  const failed = { ...RUN, status: 'failed', reason: 'forbidden', errorMessage: 'Spidra answered 403' }

  test('for several runs that failed with the same', () => {
    const other = { ...RUN, id: '10', status: 'partial', reason: 'list_moving' }

    const text = toStatusText({ ...REPORT, runs: [failed, { ...failed, id: '11' }, other, { ...failed, id: '9' }] })

    expect(text).toMatch(
      /\n\nRuns 12, 11 and 9 failed \(forbidden\): Spidra answered 403\nRun 10 partial \(list_moving\): the list changed faster than it could be read\n$/,
    )
  })

  test('if an alert contains it already', () => {
    const summary = 'Run 12 was refused: Spidra answered 403'
    const alerts = [{ kind: 'key_refused', since: '2026-03-01T11:00:00.000Z', summary }]

    const text = toStatusText({ ...REPORT, alerts, runs: [failed] })

    expect(text.match(/Spidra\sanswered\s403/g)).toHaveLength(1)
    expect(text).toMatch(/\nRun 12 failed \(forbidden\)\n$/)
  })
})

describe('a run under way', () => {
  const running = { ...RUN, status: 'running', finishedAt: null }
  const rowOf = (run: RunReport) => toStatusText({ ...REPORT, runs: [run] }).match(/^12:00 .*$/m)?.[0]

  test('shows no counters before its first heartbeat', () => {
    expect(rowOf({ ...running, heartbeatAt: running.startedAt })).toMatch(/ s +- +- +- +-$/)
  })

  test('shows the counters of its last heartbeat', () => {
    expect(rowOf(running)).toMatch(/ s +50 +3 +2 +0$/)
  })
})

test('shows how far a first load is, and when it will be done', () => {
  const progress: LoadProgress = {
    asOf: '2026-03-01T20:30:00.000Z',
    kind: 'first_load',
    doneJobs: 4_998,
    listedJobs: 20_000,
    percent: 25,
    isRunning: true,
    waitsFor: 'request_budget',
    waitsUntil: '2026-03-01T20:40:00.000Z',
    doneAt: '2026-03-01T23:09:01.000Z',
  }
  const report = {
    ...EMPTY,
    progress,
    runs: [{ ...RUN, status: 'running', finishedAt: null, heartbeatAt: REPORT.asOf }],
  }

  expect(toStatusText(report)).toMatch(`No complete run yet.
A run is under way.
First load: 4,998 of 20,000 jobs (25 %), waiting for the request budget until
20:40, done about 23:10 UTC.
`)
  expect(toStatusText({ ...report, progress: { ...progress, kind: 'reread' } })).toContain(
    '\nFull pass: 4,998 of 20,000 jobs read again (25 %), waiting for the request\nbudget until 20:40, done about 23:10 UTC.\n',
  )
  expect(toStatusLines([report, EMPTY])).toContain('25 % loaded')
})

describe('trouble', () => {
  const alert = { kind: 'stale', since: '2026-03-01T11:00:00.000Z', summary: 'No run\u001b[2J has been complete.' }

  test('that raised an alert is shown above the runs, without control characters', () => {
    const text = toStatusText({
      ...REPORT,
      alerts: [alert, { ...alert, kind: 'stuck_jobs', summary: 'A job is stuck.' }],
    })

    expect(text).toContain(`
Alert stale since 2026-03-01 11:00:00 UTC: No run [2J has been complete.
Alert stuck_jobs since 2026-03-01 11:00:00 UTC: A job is stuck.

Started (UTC)`)
  })

  test('such as stuck jobs and rejections is counted', () => {
    const text = toStatusText({ ...REPORT, stuckJobs: 1234, openRejections: 1_005, outdatedJobs: 1_000 })
    const single = (counts: object) => toStatusText({ ...REPORT, ...counts })

    expect(text.replaceAll('\n', ' ')).toContain(
      '50 jobs stored, 1,234 of them stuck. In quarantine (spidra.rejected_jobs): 5 listed items not stored as jobs, the newest versions of 1,000 stored jobs. Next',
    )
    expect(single({ openRejections: 1 })).toContain('): 1 listed item not stored as a job.')
    expect(single({ openRejections: 1, outdatedJobs: 1 })).toContain('): the newest versions of 1 stored job.')
  })
})

describe('colours', () => {
  const paint: Paint = (colour, text) => `<${colour}>${text}</${colour}>`

  test.each([
    ['complete', 'green'],
    ['partial', 'yellow'],
    ['aborted', 'yellow'],
    ['failed', 'red'],
  ])('a %s run is %s', (status, colour) => {
    expect(toStatusText({ ...REPORT, runs: [{ ...RUN, status }] }, paint)).toContain(`<${colour}>${status}</${colour}>`)
  })

  test('an alert is red, line by line', () => {
    const alert = { kind: 'stale', since: '2026-03-01T11:00:00.000Z', summary: 'long words '.repeat(10).trim() }

    const lines = toStatusText({ ...REPORT, alerts: [alert] }, paint)
      .split('\n')
      .filter((line) => line.includes('<red>'))

    expect(lines).toHaveLength(2)
    for (const line of lines) expect(line).toMatch(/^<red>[^<]+<\/red>$/)
  })

  test('do not change the text', () => {
    const coloured = toStatusText(REPORT, (_colour, text) => `\u001b[32m${text}\u001b[39m`)

    expect(coloured.replaceAll(/\p{Cc}\[\d+m/gu, '')).toBe(toStatusText(REPORT))
  })
})

test('fits 80 columns with millions of jobs, and shows no control character of a message', () => {
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

  const alerts = [{ kind: 'runs_failing', since: RUN.startedAt, summary: 'long words '.repeat(20) }]
  const many = { liveJobs: 9_999_999, stuckJobs: 9_999_999, openRejections: 9_999_999, outdatedJobs: 4_999_999 }
  const text = toStatusText({ ...REPORT, ...many, runs, alerts })

  expect(text).toContain('12 h 34 min')
  expect(text).not.toContain('\u001b')
  expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
})
