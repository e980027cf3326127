import { describe, expect, test } from 'vitest'
import { decideAlerts, watchDatabase } from '../../src/alerts/decide.js'
import type { AlertFacts } from '../../src/db/alerts.js'

const NONE = { count: 0, runId: null, errorCode: null, errorMessage: null }
const CALM: AlertFacts = {
  asOf: '2026-03-01T12:00:00.000000Z',
  failures: NONE,
  refusals: NONE,
  stalled: null,
  verdict: { runId: '7', status: 'complete', reason: null },
  lastCompleteAt: '2026-03-01T11:58:00.000Z',
  lagSeconds: 120,
  stuckJobs: 0,
  stuckUuids: [],
  stuckAfterHours: 6,
  openRejections: 0,
}
const failed = (count: number) => ({ count, runId: '12', errorCode: 'network', errorMessage: 'No answer' })
const refused = (count: number) => ({ count, runId: '13', errorCode: 'forbidden', errorMessage: 'The key is invalid' })

const decide = (change: Partial<AlertFacts>) =>
  decideAlerts({ ...CALM, ...change }, { afterFailures: 3, staleMinutes: 60 })
const firing = (change: Partial<AlertFacts>) => decide(change).filter(({ state }) => state === 'firing')
const kinds = (change: Partial<AlertFacts>) => firing(change).map(({ kind }) => kind)

test('decides every kind; without trouble none fires', () => {
  expect(decide({}).map(({ kind, state }) => `${kind} ${state}`)).toEqual([
    'runs_failing resolved',
    'run_stalled resolved',
    'key_refused resolved',
    'run_partial resolved',
    'stale resolved',
    'stuck_jobs resolved',
    'rejections resolved',
  ])
})

test('an alert that has ended says in words what holds again', () => {
  expect(decide({}).map(({ summary }) => summary)).toEqual([
    'Runs no longer fail.',
    'Runs advance again.',
    'Runs are no longer refused.',
    'No verdict says that the table differs from what Spidra lists.',
    'The table is complete as of 2026-03-01T11:58:00.000Z.',
    'No job is stuck.',
    'Every listed item is stored as a job.',
  ])
})

test('an account without any run has no alert', () => {
  expect(kinds({ verdict: null, lastCompleteAt: null, lagSeconds: null, stuckAfterHours: 0 })).toEqual([])
})

describe('failed runs', () => {
  test('in a row fire from ALERT_AFTER_FAILURES on, with the last error', () => {
    expect(kinds({ failures: failed(2) })).toEqual([])
    expect(firing({ failures: failed(3) })).toEqual([
      {
        ...{ kind: 'runs_failing', state: 'firing' },
        summary: '3 runs in a row failed, the last one (run 12): No answer',
        details: { failedRuns: 3, runId: '12', errorCode: 'network', errorMessage: 'No answer' },
      },
    ])
  })

  test('fire at the first with a threshold of 1', () => {
    const [failing] = decideAlerts({ ...CALM, failures: failed(1) }, { afterFailures: 1, staleMinutes: 60 })

    expect(failing).toMatchObject({ state: 'firing', summary: expect.stringMatching(/^1 run /) })
  })

  test('do not change the last verdict', () => {
    const verdict = { runId: '7', status: 'partial', reason: 'list_moving' }

    expect(kinds({ verdict, failures: failed(3) })).toEqual(['runs_failing', 'run_partial'])
  })
})

test('a run that no longer advanced is reported at once, with its message', () => {
  expect(firing({ stalled: { runId: '9', errorMessage: 'Run 9 did nothing' } })).toEqual([
    {
      ...{ kind: 'run_stalled', state: 'firing' },
      summary: 'Run 9 did nothing',
      details: { runId: '9', errorMessage: 'Run 9 did nothing' },
    },
  ])
})

describe('a refusal', () => {
  test('is reported with its run and its error message, and with no guess at the cause: a 403 has several', () => {
    expect(firing({ refusals: refused(2) })).toEqual([
      {
        ...{ kind: 'key_refused', state: 'firing' },
        summary: 'Run 13 was refused: The key is invalid',
        details: { refusedRuns: 2, runId: '13', errorCode: 'forbidden', errorMessage: 'The key is invalid' },
      },
    ])
  })

  test('fires at once, and is not reported again as failing runs', () => {
    expect(kinds({ refusals: refused(1) })).toEqual(['key_refused'])
    expect(kinds({ refusals: refused(9) })).toEqual(['key_refused'])
  })

  test('keeps firing while later runs fail for another reason, which is counted separately', () => {
    expect(kinds({ refusals: refused(1), failures: failed(2) })).toEqual(['key_refused'])
    expect(kinds({ refusals: refused(1), failures: failed(3) })).toEqual(['runs_failing', 'key_refused'])
  })
})

describe('a partial run', () => {
  test('fires with its reason', () => {
    const [partial] = firing({ verdict: { runId: '9', status: 'partial', reason: 'mass_removal' } })

    expect(partial).toMatchObject({ kind: 'run_partial', details: { runId: '9', reason: 'mass_removal' } })
    expect(partial?.summary).toContain('mass_removal')
  })

  test('does not fire for an unfinished first pass', () => {
    expect(kinds({ verdict: { runId: '9', status: 'partial', reason: 'first_pass_unfinished' } })).toEqual([])
  })
})

describe('age', () => {
  test('fires above ALERT_STALE_MINUTES, not at it', () => {
    expect(kinds({ lagSeconds: 3600 })).toEqual([])
    expect(firing({ lagSeconds: 3601 })).toEqual([
      {
        ...{ kind: 'stale', state: 'firing' },
        summary: 'The table was last complete 1 h ago, at 2026-03-01T11:58:00.000Z.',
        details: { lagMinutes: 60, staleMinutes: 60, lastCompleteAt: CALM.lastCompleteAt },
      },
    ])
  })

  test('does not fire before the first complete run, however long the first pass takes', () => {
    const never = { lastCompleteAt: null, lagSeconds: null, failures: failed(1) }

    expect(kinds(never)).toEqual([])
    expect(decide(never)).toContainEqual({
      ...{ kind: 'stale', state: 'resolved', details: {} },
      summary: 'The table has not been complete yet.',
    })
  })
})

test('stuck jobs fire, and the alert names some of them', () => {
  const [stuck] = firing({ stuckJobs: 1200, stuckUuids: ['a', 'b'] })

  expect(stuck?.kind).toBe('stuck_jobs')
  expect(stuck?.summary).toBe('1,200 jobs made no progress for over 6 h: a, b, ...')
  expect(stuck?.details).toEqual({ stuckJobs: 1200, stuckAfterHours: 6, uuids: ['a', 'b'] })
  expect(firing({ stuckJobs: 1, stuckUuids: ['a'] })[0]?.summary).toMatch(/^1 job .*: a$/)
})

test('open rejections fire', () => {
  expect(firing({ openRejections: 2 })).toEqual([
    {
      ...{ kind: 'rejections', state: 'firing', details: { openRejections: 2 } },
      summary: '2 listed items could not be stored as jobs; see spidra.rejected_jobs.',
    },
  ])
})

describe('the alert about the database', () => {
  const unrecorded = { status: 'failed', runId: null, reason: 'Cannot reach Postgres' }
  const at = (minute: number) => new Date(Date.UTC(2026, 2, 1, 12, minute))

  /** A watch after these runs, one a minute. */
  function afterRuns(...runs: readonly Parameters<ReturnType<typeof watchDatabase>['runEnded']>[0][]) {
    const watch = watchDatabase(3)
    for (const [minute, run] of runs.entries()) watch.runEnded(run, at(minute))
    return watch
  }

  test('is not due before the first run', () => {
    expect(watchDatabase(1).due()).toBeNull()
  })

  test('fires at the first unrecorded run with a threshold of 1', () => {
    const watch = watchDatabase(1)
    watch.runEnded(unrecorded, at(0))

    expect(watch.due()?.summary).toBe('1 run could not use the database: Cannot reach Postgres')
  })

  test('fires after the threshold of unrecorded runs in a row, since the run that reached it', () => {
    expect(afterRuns(unrecorded, unrecorded).due()).toBeNull()
    expect(afterRuns(unrecorded, unrecorded, unrecorded, unrecorded).due()).toEqual({
      ...{ kind: 'database_unavailable', state: 'firing', since: at(2) },
      summary: '4 runs in a row could not use the database: Cannot reach Postgres',
      details: { failedRuns: 4, reason: 'Cannot reach Postgres' },
    })
  })

  test.each([
    ['a complete run', { status: 'complete', runId: '1', reason: null }],
    ['a failed run that was recorded', { status: 'failed', runId: '1', reason: 'No answer' }],
  ])('%s resets the count', (_, run) => {
    expect(afterRuns(unrecorded, unrecorded, run, unrecorded).due()).toBeNull()
  })

  test.each(['skipped', 'aborted'])('a %s run counts neither way', (status) => {
    const run = { status, runId: null, reason: null }

    expect(afterRuns(unrecorded, unrecorded, run).due()).toBeNull()
    expect(afterRuns(unrecorded, unrecorded, run, unrecorded).due()).toMatchObject({ state: 'firing' })
  })

  test('is due until it was sent, and so is its end', () => {
    const watch = afterRuns(unrecorded, unrecorded, unrecorded)
    expect(watch.due()).toEqual(watch.due())
    watch.noteSent('firing')
    expect(watch.due()).toBeNull()

    watch.runEnded({ status: 'complete', runId: '1', reason: null }, at(9))
    expect(watch.due()).toEqual({
      ...{ kind: 'database_unavailable', state: 'resolved', since: at(9), details: {} },
      summary: 'Runs are recorded in the database again.',
    })
    watch.noteSent('resolved')
    expect(watch.due()).toBeNull()
  })
})
