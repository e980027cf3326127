import type { AlertDetails, AlertFacts, AlertFinding, AlertKind } from '../db/alerts.js'
import { counted } from '../logging/printable.js'

/** From when on something is an alert. */
export interface AlertThresholds {
  /** Failed runs in a row. */
  readonly afterFailures: number
  /** Age of the last verdict `complete`. */
  readonly staleMinutes: number
}

/**
 * Decides for each kind of trouble whether it is there. Depends on nothing but what is true now: whoever decides, and
 * however often, finds the same.
 *
 * A refusal (401, 403) fires at once, because no retry helps, and its failures are not counted among the others, so that
 * one cause is told once. It lasts until a run comes to a verdict: a later failure of another kind does not show that
 * the cause is gone. For the same reason failures leave the last verdict as it was. Before the first complete run nothing is stale: a first
 * pass takes as long as it takes.
 */
export function decideAlerts(facts: AlertFacts, thresholds: AlertThresholds): readonly AlertFinding[] {
  return [
    decideFailing(facts, thresholds),
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

function decideRefused({ refusals }: AlertFacts): AlertFinding {
  const { count: refusedRuns, ...last } = refusals
  if (refusedRuns === 0) return resolved('key_refused', 'Runs are no longer refused.')
  // The message names the causes: a 403 does not prove that the key is at fault.
  const summary = `Run ${last.runId} was refused: ${last.errorMessage}`
  return firing('key_refused', summary, { refusedRuns, ...last })
}

function decidePartial({ verdict }: AlertFacts): AlertFinding {
  if (verdict === null || verdict.status !== 'partial' || verdict.reason === 'first_pass_unfinished') {
    return resolved('run_partial', 'The last run gives no cause for doubt.')
  }
  const { runId, reason } = verdict
  const summary = `Run ${runId} was partial (${reason}): the table may differ from what Spidra lists.`
  return firing('run_partial', summary, { runId, reason })
}

function decideStale({ lastCompleteAt, lagSeconds }: AlertFacts, { staleMinutes }: AlertThresholds): AlertFinding {
  if (lastCompleteAt === null || lagSeconds === null) return resolved('stale', 'The table has not been complete yet.')
  if (lagSeconds <= staleMinutes * 60) return resolved('stale', `The table is complete as of ${lastCompleteAt}.`)
  const lagMinutes = Math.floor(lagSeconds / 60)
  const summary = `The table was last complete ${counted(lagMinutes, 'minute')} ago, at ${lastCompleteAt}.`
  return firing('stale', summary, { lastCompleteAt, lagMinutes, staleMinutes })
}

function decideStuck({ stuckJobs, stuckUuids, stuckAfterHours }: AlertFacts): AlertFinding {
  if (stuckJobs === 0) return resolved('stuck_jobs', 'No job is stuck.')
  const named = `${stuckUuids.join(', ')}${stuckJobs > stuckUuids.length ? ', ...' : ''}`
  const summary = `${counted(stuckJobs, 'job')} made no progress for over ${counted(stuckAfterHours, 'hour')}: ${named}`
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
