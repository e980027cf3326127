import type { Row } from '../run.js'
import { AGAIN, FIRST, KILLED, STEADY, UNCHANGED } from '../workloads.js'
import {
  endedWell,
  find,
  jobsPerSecond,
  median,
  medianOf,
  mostOf,
  peakMb,
  type Read,
  repeatedRequests,
  show,
  showRatio,
} from './figures.js'

/** A target of spidra-sync, the measured figure, and whether it is met; `isMet` null: it was not measured. */
export interface Goal {
  readonly text: string
  readonly figure: string
  readonly isMet: boolean | null
}

/** Requests that may be repeated after a kill -9, besides those in flight. */
const REPEATED_MOST = 20

/** Memory that grows by at most this factor counts as flat. */
const FLAT = 1.1

/** Compares the measurements of this run with the targets. */
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

/** The targets for jobs/s: spidra-sync at `large` jobs, each other subject at its largest list of at most `large` jobs. */
function toSpeedGoals(rows: readonly Row[], { us, large }: { readonly us: string; readonly large: number }): Goal[] {
  const ours = (step: string) => jobsPerSecond(find(rows, { kind: 'load', jobs: large, step, subject: us }))
  const others = (role: Row['role'], step: string) =>
    rows
      .filter((row) => row.kind === 'load' && row.role === role && row.step === step && row.jobs <= large)
      .filter((row, _, all) => !all.some((other) => other.subject === row.subject && other.jobs > row.jobs))
  const byRow = others('script', FIRST).slice(0, 1)
  const limits = others('limit', FIRST).filter(({ jobs }) => jobs === large)
  const slower = fastest(limits, 'slowest')
  const share = ratioOf(ours(FIRST), slower)
  return [
    times('first load: at least 60 times the per-row upsert', 60, { ours: ours(FIRST), theirs: fastest(byRow) }),
    times('first load: at least 10 times the best peer', 10, {
      ours: ours(FIRST),
      theirs: fastest(others('peer', FIRST)),
    }),
    times('unchanged, read in full: at least 20 times the best peer', 20, {
      ours: ours(UNCHANGED),
      theirs: fastest(others('peer', UNCHANGED)),
    }),
    times('unchanged, incremental as by schedule: at least 20 times the best peer', 20, {
      ours: ours(STEADY),
      theirs: fastest(others('peer', UNCHANGED)),
    }),
    {
      text: `first load of ${show(large)} jobs: at least 0.6 (goal 0.8) of the slower limit`,
      figure:
        share === null
          ? 'not measured'
          : `${show(share, 2)} of ${slower?.name} (${show(slower?.speed ?? null)} jobs/s)`,
      isMet: share === null ? null : share >= 0.6,
    },
  ]
}

interface Other {
  readonly name: string
  readonly jobs: number
  readonly speed: number
}

function fastest(rows: readonly Row[], end: 'fastest' | 'slowest' = 'fastest'): Other | null {
  const known = rows.flatMap((row) => {
    const speed = jobsPerSecond(row)
    return speed === null ? [] : [{ name: row.subject, jobs: row.jobs, speed }]
  })
  const sorted = known.sort((one, other) => other.speed - one.speed)
  return sorted.at(end === 'fastest' ? 0 : -1) ?? null
}

function ratioOf(ours: number | null, other: Other | null): number | null {
  return ours === null || other === null ? null : ours / other.speed
}

function times(text: string, wanted: number, { ours, theirs }: { ours: number | null; theirs: Other | null }): Goal {
  const ratio = ratioOf(ours, theirs)
  if (ratio === null || theirs === null) return unknown(text)
  const figure = `${showRatio(ratio)} times (${theirs.name} at ${show(theirs.jobs)} jobs: ${show(theirs.speed)} jobs/s)`
  return { text, figure, isMet: ratio >= wanted }
}

/**
 * Lists the errors of spidra-sync, one line each. The benchmark fails if there is one: after a run that was not killed the
 * table must hold exactly the listed jobs, an unchanged list must cause no write, and a run after a kill -9 may repeat few requests (`REPEATED_MOST`).
 */
export function faultsOf(rows: readonly Row[]): string[] {
  return rows.filter(({ role }) => role === 'ours').flatMap((row) => faultsIn(row, rows))
}

function faultsIn(row: Row, rows: readonly Row[]): string[] {
  const { kind, step, measurements, workload, subject, jobs, concurrency } = row
  const faults: string[] = []
  if (endedWell(row).length < measurements.length) {
    faults.push(`ended with ${measurements.map(({ code }) => code ?? 'a signal').join(', ')}`)
  }
  if (step !== KILLED) {
    for (const { truth } of measurements) {
      if (truth === null) faults.push('could not be compared with what is listed')
      else if (truth.missing + truth.stale + truth.extra > 0)
        faults.push(`holds other jobs than listed: ${JSON.stringify(truth)}`)
    }
    const repeated = kind === 'kill' ? repeatedRequests(rows, subject, jobs) : []
    for (const requests of repeated) {
      if (requests > concurrency + REPEATED_MOST) faults.push(`repeated ${requests} requests`)
    }
  }
  if (kind === 'load' && (step === UNCHANGED || step === STEADY)) {
    for (const { tableWalBytes, requests } of measurements) {
      if (tableWalBytes !== 0) faults.push(`wrote ${tableWalBytes ?? 'an unknown number of'} bytes of WAL on its table`)
      if (step === STEADY && requests !== 1) faults.push(`made ${requests} requests`)
    }
  }
  return faults.map((fault) => `${workload}, ${step}: ${fault}`)
}
