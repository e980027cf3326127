import { counted, toSentence, wrapSentence } from '../logging/printable.js'
import type { DeadLetterReport, FleetReport, WorkerReport } from './fleet.js'
import { toDuration, toInstant } from './format.js'
import { joinBlocks, toPlainTable } from './terminal.js'

export const WORKER_HEADINGS = ['Worker', 'Role', 'Runs', 'Requests left', 'Last seen']
export const NO_WORKERS = 'No process is running.'

/** Formats the fleet for a terminal of 80 columns: its workers, waiting runs, and runs that are not retried. */
export function toFleetText(fleet: FleetReport): string {
  const blocks = [
    [`Fleet: ${toQueueSentence(fleet)}`],
    fleet.workers.length === 0 ? [NO_WORKERS] : toTable(fleet.workers),
    fleet.workers.flatMap(toPause).map(wrapSentence),
    fleet.deadLetters.map(toLetterSentence).map(wrapSentence),
  ]
  return joinBlocks(blocks)
}

/** 3 of 4 processes alive; 1 run under way, 2 waiting, the oldest for 4 s. */
export function toQueueSentence({ workers, waitingRuns, activeRuns, oldestWaitSeconds }: FleetReport): string {
  const alive = workers.filter(({ isAlive }) => isAlive).length
  const waiting =
    waitingRuns === 0 ? 'none waiting' : `${waitingRuns} waiting, the oldest for ${toDuration(oldestWaitSeconds)}`
  const processes = `${workers.length} process${workers.length === 1 ? '' : 'es'}`
  return `${alive} of ${processes} alive; ${counted(activeRuns, 'run')} under way, ${waiting}.`
}

function toTable(workers: readonly WorkerReport[]): string[] {
  const rows = workers.map((worker) => [
    toWorkerName(worker),
    worker.role,
    worker.role === 'scheduler' || !worker.isAlive ? '-' : `${worker.running} of ${worker.runsInParallel}`,
    worker.budget === null ? '-' : `${worker.budget.remaining ?? '?'} of ${worker.budget.limit}`,
    worker.isAlive ? `${toDuration(worker.silentSeconds)} ago` : `GONE ${toDuration(worker.silentSeconds)}`,
  ])
  return toPlainTable([WORKER_HEADINGS, ...rows], { left: WORKER_HEADINGS.length, firstWidth: 34 })
}

/** host:pid, with the address that its requests come from. */
export function toWorkerName({ worker, sourceAddress }: WorkerReport): string {
  return sourceAddress === null ? worker : `${worker} (${sourceAddress})`
}

function toPause({ worker, isAlive, pausedUntil }: WorkerReport): string[] {
  if (!isAlive || pausedUntil === null) return []
  return [`${worker} waits for budget until ${pausedUntil.slice(11, 19)} UTC: it takes no runs.`]
}

/** 2 runs of account a failed for good, the last at ...: the error. */
export function toLetterSentence({ account, runs, lastAt, lastError }: DeadLetterReport): string {
  const times = runs === 1 ? 'A run' : counted(runs, 'run')
  return `${times} of account ${account} failed for good, the last at ${toInstant(lastAt)}: ${toSentence(lastError ?? 'unknown')}`
}
