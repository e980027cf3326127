import type { AlertDetails, AlertFacts, AlertFinding, AlertKind, AlertState } from '../db/alerts.js'
import { counted, formatDuration } from '../logging/printable.js'
import type { Notification } from './message.js'

/** The thresholds from which an alert fires. */
export interface AlertThresholds {
  /** Failed runs in a row. */
  readonly afterFailures: number
  /** Age of the last verdict `complete`. */
  readonly staleMinutes: number
}

/**
 * Decides for each kind of alert whether it fires. The result depends on the present facts only, so every worker comes to
 * the same result, however often it decides.
 *
 * A refusal (401, 403) fires at once, because no retry helps. It does not count as a failed run, so that one cause raises
 * one alert. It fires until a run comes to a verdict: a later failure of another kind does not show that the cause is
 * gone. For the same reason failed runs do not change the last verdict. Before the first complete run nothing is stale,
 * because a first pass may take hours.
 */
export function decideAlerts(facts: AlertFacts, thresholds: AlertThresholds): readonly AlertFinding[] {
  return [
    decideFailing(facts, thresholds),
    decideStalled(facts),
    decideRefused(facts),
    decidePartial(facts),
    decideStale(facts, thresholds),
    decideStuck(facts),
    decideRejections(facts),
  ]
}

function decideFailing({ failures }: AlertFacts, { afterFailures }: AlertThresholds): AlertFinding {
  const { count: failed, ...last } = failures
  if (failed < afterFailures) return resolved('runs_failing', 'Runs no longer fail.')
  const summary = `${counted(failed, 'run')} in a row failed, the last one (run ${last.runId}): ${last.errorMessage}`
  return firing('runs_failing', summary, { failedRuns: failed, ...last })
}

function decideStalled({ stalled }: AlertFacts): AlertFinding {
  if (stalled === null) return resolved('run_stalled', 'Runs advance again.')
  return firing('run_stalled', stalled.errorMessage, stalled)
}

function decideRefused({ refusals }: AlertFacts): AlertFinding {
  const { count: refusedRuns, ...last } = refusals
  if (refusedRuns === 0) return resolved('key_refused', 'Runs are no longer refused.')
  // The error message names the possible causes: a 403 does not prove that the key is wrong.
  const summary = `Run ${last.runId} was refused: ${last.errorMessage}`
  return firing('key_refused', summary, { refusedRuns, ...last })
}

function decidePartial({ verdict }: AlertFacts): AlertFinding {
  if (verdict === null || verdict.status !== 'partial' || verdict.reason === 'first_pass_unfinished') {
    return resolved('run_partial', 'No verdict says that the table differs from what Spidra lists.')
  }
  const { runId, reason } = verdict
  const summary = `Run ${runId} was partial (${reason}): the table may differ from what Spidra lists.`
  return firing('run_partial', summary, { runId, reason })
}

function decideStale({ lastCompleteAt, lagSeconds }: AlertFacts, { staleMinutes }: AlertThresholds): AlertFinding {
  if (lagSeconds === null) return resolved('stale', 'The table has not been complete yet.')
  if (lagSeconds <= staleMinutes * 60) return resolved('stale', `The table is complete as of ${lastCompleteAt}.`)
  const lagMinutes = Math.floor(lagSeconds / 60)
  const summary = `The table was last complete ${formatDuration(lagSeconds)} ago, at ${lastCompleteAt}.`
  return firing('stale', summary, { lastCompleteAt, lagMinutes, staleMinutes })
}

function decideStuck({ stuckJobs, stuckUuids, stuckAfterHours }: AlertFacts): AlertFinding {
  if (stuckJobs === 0) return resolved('stuck_jobs', 'No job is stuck.')
  const named = `${stuckUuids.join(', ')}${stuckJobs > stuckUuids.length ? ', ...' : ''}`
  const summary = `${counted(stuckJobs, 'job')} made no progress for over ${formatDuration(stuckAfterHours * 3600)}: ${named}`
  return firing('stuck_jobs', summary, { stuckJobs, stuckAfterHours, uuids: stuckUuids })
}

function decideRejections({ openRejections }: AlertFacts): AlertFinding {
  if (openRejections === 0) return resolved('rejections', 'Every listed item is stored as a job.')
  const items = counted(openRejections, 'listed item')
  return firing('rejections', `${items} could not be stored as jobs; see spidra.rejected_jobs.`, { openRejections })
}

function firing(kind: AlertKind, summary: string, details: AlertDetails): AlertFinding {
  return { kind, state: 'firing', summary, details }
}

function resolved(kind: AlertKind, summary: string): AlertFinding {
  return { kind, state: 'resolved', summary, details: {} }
}

/** A run that has ended. `runId` is null if the database has no record of it. */
export interface EndedRun {
  readonly status: string
  readonly runId: string | null
  readonly reason: string | null
}

/** The alert about the database itself. It is kept in memory, because the database cannot store it while it is away. */
export interface DatabaseWatch {
  /** Takes note of a run that ended at `at`. */
  runEnded(run: EndedRun, at: Date): void
  /** The notification that the webhook should get and has not got; null: none. */
  due(): Omit<Notification, 'account'> | null
  /** Takes note that the webhook accepted the notification of `state`. */
  noteSent(state: AlertState): void
}

/** Creates the watch. The alert fires after `afterFailures` failed runs in a row that the database did not record. */
export function watchDatabase(afterFailures: number): DatabaseWatch {
  const kind = 'database_unavailable'
  let failedRuns = 0
  let reason: string | null = null
  let state: AlertState = 'resolved'
  let since = new Date(0)
  let sent: AlertState = 'resolved'

  return {
    runEnded(run, at) {
      // A run of another worker, and one that was stopped, show nothing about the database.
      if (run.status === 'skipped' || run.status === 'aborted') return
      failedRuns = run.runId === null ? failedRuns + 1 : 0
      reason = run.reason
      const found = failedRuns >= afterFailures ? 'firing' : 'resolved'
      if (found !== state) since = at
      state = found
    },
    due() {
      if (state === sent) return null
      if (state === 'resolved') {
        return { kind, state, since, summary: 'Runs are recorded in the database again.', details: {} }
      }
      const runs = failedRuns === 1 ? '1 run' : `${counted(failedRuns, 'run')} in a row`
      return {
        kind,
        state,
        since,
        summary: `${runs} could not use the database: ${reason}`,
        details: { failedRuns, reason },
      }
    },
    noteSent(sentState) {
      sent = sentState
    },
  }
}
