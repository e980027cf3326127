import type { AlertState } from '../db/alerts.js'
import type { Tidings } from './message.js'

/** What must be known of a run that has ended. `runId` is null where the database took no record of it. */
export interface EndedRun {
  readonly status: string
  readonly runId: string | null
  readonly reason: string | null
}

/** Watches the database itself. It cannot keep an alert about itself, so this one lives as long as the process. */
export interface DatabaseWatch {
  runEnded(run: EndedRun, at: Date): void
  /** What the webhook should be told, and has not been; null when that is nothing. */
  due(): Omit<Tidings, 'account'> | null
  noteTold(state: AlertState): void
}

/** Counts the failed runs in a row of which the database took no record. */
export function watchDatabase(afterFailures: number): DatabaseWatch {
  const kind = 'database_unavailable'
  let failedRuns = 0
  let reason: string | null = null
  let state: AlertState = 'resolved'
  let since = new Date(0)
  let told: AlertState = 'resolved'

  return {
    runEnded(run, at) {
      // Someone else's run, or one that was stopped, says nothing.
      if (run.status === 'skipped' || run.status === 'aborted') return
      const isUnrecorded = run.status === 'failed' && run.runId === null
      failedRuns = isUnrecorded ? failedRuns + 1 : 0
      if (isUnrecorded) reason = run.reason
      const found = failedRuns >= afterFailures ? 'firing' : 'resolved'
      if (found !== state) since = at
      state = found
    },
    due() {
      if (state === told) return null
      if (state === 'resolved') {
        return { kind, state, since, summary: 'The database takes records of runs again.', details: {} }
      }
      const runs = failedRuns === 1 ? '1 run' : `${failedRuns} runs in a row`
      return {
        kind,
        state,
        since,
        summary: `${runs} could not use the database: ${reason}`,
        details: { failedRuns, reason },
      }
    },
    noteTold(toldState) {
      told = toldState
    },
  }
}
