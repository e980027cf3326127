import type { Row } from '../run.js'
import { AGAIN, FIRST, STEADY, UNCHANGED } from '../workloads.js'
import { find, median, medianOf, mostOf, peakMb, type Read, repeatedRequests, show } from './figures.js'
import { toSpeedGoals } from './speed-goals.js'

/** What was asked of ours, what was measured, and whether that is enough; null: it was not measured. */
export interface Goal {
  readonly text: string
  readonly figure: string
  readonly isMet: boolean | null
}

/** Most requests that may be made twice after a kill -9, above those in flight. */
export const REPEATED_MOST = 20

/** How much more memory still counts as the same. */
const FLAT = 1.1

/** The targets, judged by what was measured in this run. */
export function toGoals(
  rows: readonly Row[],
  { large, huge }: { readonly large: number; readonly huge: number },
): Goal[] {
  const us = rows.find(({ role }) => role === 'ours')?.subject ?? ''
  const own = rows.filter(({ role }) => role === 'ours')
  const unchanged = own.filter(({ kind, step }) => kind === 'load' && (step === UNCHANGED || step === STEADY))
  const steady = own.filter(({ kind, step }) => kind === 'load' && step === STEADY)
  const churned = own.filter(({ kind }) => kind === 'churn')
  const killed = own.filter(({ kind, step }) => kind === 'kill' && step === AGAIN)

  const peak = (jobs: number) => {
    const loads = [FIRST, UNCHANGED].map((step) => find(rows, { kind: 'load', jobs, step, subject: us }))
    return mostOf(loads.map((row) => median(row, peakMb)))
  }
  const [atLarge, atHuge] = [peak(large), peak(huge)]
  const growth = atLarge === null || atHuge === null ? null : atHuge / atLarge
  const wal = worst(unchanged, ({ tableWalBytes }) => tableWalBytes)
  const requests = worst(steady, (measurement) => measurement.requests)
  const wrong = worst(churned, ({ truth }) => (truth === null ? null : truth.missing + truth.stale))
  const repeated = mostOf(killed.flatMap(({ subject, jobs }) => repeatedRequests(rows, subject, jobs)))
  const inFlight = killed[0]?.concurrency ?? 1
  const starts = steady.flatMap(({ measurements }) => measurements.map(({ startUpMs }) => startUpMs))
  const startUp = medianOf(starts)

  return [
    ...toSpeedGoals(rows, { us, large }),
    atMost('WAL on the data table and its indexes, unchanged: 0 bytes', wal, 0, `${show(wal)} bytes`),
    below(`peak RSS at ${show(huge)} jobs: under 260 MB (goal 200)`, atHuge, 260, `${show(atHuge)} MB`),
    atMost(
      `peak RSS flat from ${show(large)} to ${show(huge)} jobs (at most ${FLAT} times)`,
      growth,
      FLAT,
      `${show(atLarge)} to ${show(atHuge)} MB: ${show(growth, 2)} times`,
    ),
    atMost('requests of a steady run: 1', requests, 1, show(requests)),
    atMost('rows missing or stale under churn: 0', wrong, 0, show(wrong)),
    atMost(
      `requests repeated after kill -9: at most those in flight (${inFlight}) + ${REPEATED_MOST}`,
      repeated,
      inFlight + REPEATED_MOST,
      show(repeated),
    ),
    below(
      'start-up to first request: under 600 ms (goal 400)',
      startUp,
      600,
      `${show(startUp)} ms (${spreadOf(starts)})`,
    ),
  ]
}

function worst(rows: readonly Row[], read: Read): number | null {
  return mostOf(rows.flatMap(({ measurements }) => measurements.map(read)))
}

function spreadOf(values: readonly (number | null)[]): string {
  const found = values.filter((value) => value !== null)
  return `${show(Math.min(...found))} to ${show(Math.max(...found))}`
}

function atMost(text: string, value: number | null, bound: number, figure: string): Goal {
  return value === null ? unknown(text) : { text, figure, isMet: value <= bound }
}

function below(text: string, value: number | null, bound: number, figure: string): Goal {
  return value === null ? unknown(text) : { text, figure, isMet: value < bound }
}

function unknown(text: string): Goal {
  return { text, figure: 'not measured', isMet: null }
}
