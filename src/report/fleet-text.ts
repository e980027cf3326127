import { getBorderCharacters, table } from 'table'
import { toSentence, wrapSentence } from '../logging/printable.js'
import type { DeadLetterReport, FleetReport, WorkerReport } from './fleet.js'
import { toInstant } from './format.js'

const HEADINGS = ['Worker', 'Role', 'Runs', 'Requests left', 'Last seen']

/** The fleet for a terminal of 80 columns: who works, what waits, what failed for good. */
export function toFleetText(fleet: FleetReport): string {
  const blocks = [
    [toQueue(fleet)],
    fleet.workers.length === 0 ? ['No worker has been seen within the last hour.'] : toTable(fleet.workers),
    fleet.workers.flatMap(toPause).map(wrapSentence),
    fleet.deadLetters.map(toLetter).map(wrapSentence),
  ]
  return blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map((line) => `${line}\n`).join(''))
    .join('\n')
}

function toQueue({ workers, waitingRuns, activeRuns, oldestWaitSeconds }: FleetReport): string {
  const alive = workers.filter(({ isAlive }) => isAlive).length
  const waiting = waitingRuns === 0 ? 'none waiting' : `${waitingRuns} waiting, the oldest for ${oldestWaitSeconds} s`
  return `Fleet: ${alive} of ${workers.length} processes alive; ${activeRuns} runs under way, ${waiting}.`
}

function toTable(workers: readonly WorkerReport[]): string[] {
  const rows = workers.map((worker) => [
    worker.sourceAddress === null ? worker.worker : `${worker.worker} (${worker.sourceAddress})`,
    worker.role,
    worker.role === 'scheduler' || !worker.isAlive ? '-' : `${worker.running} of ${worker.runsInParallel}`,
    worker.budget === null ? '-' : `${worker.budget.remaining ?? '?'} of ${worker.budget.limit}`,
    worker.isAlive ? `${worker.silentSeconds} s ago` : `GONE ${worker.silentSeconds} s`,
  ])
  return table([HEADINGS, ...rows], {
    border: getBorderCharacters('void'),
    drawHorizontalLine: () => false,
    columnDefault: { paddingLeft: 0, paddingRight: 1 },
    columns: HEADINGS.map((_heading, column) => (column === 0 ? { width: 34, wrapWord: false } : {})),
  })
    .trimEnd()
    .split('\n')
    .map((line) => line.trimEnd())
}

function toPause({ worker, isAlive, pausedUntil }: WorkerReport): string[] {
  if (!isAlive || pausedUntil === null) return []
  return [`${worker} waits for budget until ${pausedUntil.slice(11, 19)} UTC: it takes no runs.`]
}

function toLetter({ account, runs, lastAt, lastError }: DeadLetterReport): string {
  const times = runs === 1 ? 'A run' : `${runs} runs`
  return `${times} of account ${account} failed for good, the last at ${toInstant(lastAt)}: ${toSentence(lastError ?? 'unknown')}`
}
