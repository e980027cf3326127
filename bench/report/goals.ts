import type { Truth } from '../account.js'
import type { FreshnessRow } from '../freshness/freshness.js'
import type { Results } from '../results.js'
import type { Row } from '../run.js'
import { AGAIN, FIRST, KILLED, pagesOf, STEADY, UNCHANGED } from '../workloads.js'
import {
  endedWell,
  find,
  jobsPerSecond,
  lastLineOf,
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

/** Of the default `SYNC_SCHEDULE`. */
const DEFAULT_INTERVAL_MINUTES = 5

/** A row that is older than the sweep's hour is a fault, and not only a target missed. */
const OLDEST_MINUTES = 60

/** Of the default `PAGES_PER_RUN`: pages of the list that the sweep reads in an hour. */
const SWEPT_PAGES = 20

/** The oldest row may be this number of intervals of the schedule old. */
const INTERVALS_MOST = 2

/** Requests a day that the API allows, less the half that `RATE_LIMIT_RESERVE` leaves to others. */
const REQUESTS_A_DAY_MOST = 14_400

/** Targets of before that no client can reach on one machine, each with the reason. */
export const LEFT_OUT: readonly string[] = [
  'Four targets of earlier reports have left the list. Ten times the jobs/s of the best alternative in a first load, and twenty',
  'times where the list is read in full, would be faster than fetching and parsing alone. Sixty times the upsert of single rows is',
  'more than a client gets from two cores that it shares with server and simulator. Six tenths of a limit that checks nothing, and',
  'has both cores for one process, is out of reach for a client that checks each job.',
]

/** Compares the measurements of this run with the targets. */
export function toGoals(
  { rows, freshness }: Results,
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
    ...toFreshnessGoals(freshness),
    ...toCostGoals(rows, { us, huge }),
    times('unchanged, incremental as by schedule: at least 20 times the best peer', 20, {
      ours: jobsPerSecond(find(rows, { kind: 'load', jobs: large, step: STEADY, subject: us })),
      theirs: fastestPeer(rows, large),
    }),
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

/** The targets for the service by its default schedule, under the real limit. */
function toFreshnessGoals(freshness: readonly FreshnessRow[]): Goal[] {
  const own = freshness.filter(({ role }) => role === 'ours')
  const byDefault = own.filter(({ subject }) => subject === own[0]?.subject)
  const most = INTERVALS_MOST * DEFAULT_INTERVAL_MINUTES
  const oldest = [false, true].map((isShared) =>
    mostOf(byDefault.filter((row) => row.workload.isShared === isShared).map(({ ages }) => ages?.worst.median ?? null)),
  )
  const open = mostOf(byDefault.map(({ ages }) => ages?.open.p99 ?? null))
  const requests = mostOf(byDefault.map(({ requestsADay }) => requestsADay))
  const refused = mostOf(own.map(({ refusedADay }) => refusedADay))
  const wrong = mostOf(own.map(({ truth }) => (truth === null ? null : wrongIn(truth))))
  const [alone = null, shared = null] = oldest
  const age = 'age of the oldest row, median: at most two intervals (10 min)'
  return [
    atMost(`${age}`, alone, most, `${show(alone, 1)} min`),
    atMost(`${age}, half of the limit used by others`, shared, most, `${show(shared, 1)} min`),
    atMost('age of open jobs, 99 %: at most two intervals (10 min)', open, most, `${show(open, 1)} min`),
    atMost('requests a day: at most half of the limit (14,400)', requests, REQUESTS_A_DAY_MOST, show(requests)),
    atMost('429 a day: 0', refused, 0, show(refused)),
    atMost('rows wrong after a while without changes: 0', wrong, 0, show(wrong)),
  ]
}

/** The targets for what a first load of a huge list costs, beside COPY and one merge. */
function toCostGoals(rows: readonly Row[], { us, huge }: { readonly us: string; readonly huge: number }): Goal[] {
  const ours = find(rows, { kind: 'load', jobs: huge, step: FIRST, subject: us })
  // Only the limit of the writing side stores anything.
  const copy = rows.find(
    ({ kind, role, jobs, step, measurements }) =>
      kind === 'load' &&
      role === 'limit' &&
      jobs === huge &&
      step === FIRST &&
      measurements.some(({ truth }) => truth !== null),
  )
  const ratio = (read: Read) => {
    const [own, least] = [median(ours, read), median(copy, read)]
    return own === null || least === null || least === 0 ? null : own / least
  }
  const cpu = ratio(({ serverCpuSeconds }) => serverCpuSeconds)
  const wal = ratio(({ walBytes }) => walBytes)
  const client = median(ours, ({ clientCpuSeconds }) => clientCpuSeconds)
  const micros = client === null ? null : (client * 1e6) / huge
  const load = `first load of ${show(huge)} jobs`
  return [
    atMost(`${load}: server CPU at most twice that of COPY and one merge`, cpu, 2, `${show(cpu, 2)} times`),
    atMost(`${load}: WAL at most 1.3 times that of COPY and one merge`, wal, 1.3, `${show(wal, 2)} times`),
    below(`${load}: client CPU under 20 us a job`, micros, 20, `${show(micros, 1)} us`),
  ]
}

interface Other {
  readonly name: string
  readonly jobs: number
  readonly speed: number
}

/** The fastest alternative on an unchanged list, each at its largest list of at most `large` jobs. */
function fastestPeer(rows: readonly Row[], large: number): Other | null {
  const known = rows
    .filter(({ kind, role, step, jobs }) => kind === 'load' && role === 'peer' && step === UNCHANGED && jobs <= large)
    .filter((row, _, all) => !all.some((other) => other.subject === row.subject && other.jobs > row.jobs))
    .flatMap((row) => {
      const speed = jobsPerSecond(row)
      return speed === null ? [] : [{ name: row.subject, jobs: row.jobs, speed }]
    })
  return known.toSorted((one, other) => other.speed - one.speed)[0] ?? null
}

function times(text: string, wanted: number, { ours, theirs }: { ours: number | null; theirs: Other | null }): Goal {
  if (ours === null || theirs === null) return unknown(text)
  const ratio = ours / theirs.speed
  const figure = `${showRatio(ratio)} times (${theirs.name} at ${show(theirs.jobs)} jobs: ${show(theirs.speed)} jobs/s)`
  return { text, figure, isMet: ratio >= wanted }
}

/**
 * Lists the errors of spidra-sync, one line each; the benchmark fails if there is one. After a run that was not killed the
 * table must hold exactly the listed jobs. An unchanged list must cause no write. After a kill -9 at most `REPEATED_MOST`
 * requests may be repeated, besides those in flight. Under the limit no request may be refused and no run may fail, no job may be
 * missing, and in a list that is swept within an hour no row may be stale for longer.
 */
export function faultsOf({ rows, freshness }: Results): string[] {
  return [
    ...rows.filter(({ role }) => role === 'ours').flatMap((row) => faultsIn(row, rows)),
    ...freshness.filter(({ role }) => role === 'ours').flatMap(freshnessFaultsIn),
  ]
}

function freshnessFaultsIn({
  workload,
  subject,
  ages,
  refusedADay,
  failedRuns,
  failure,
  truth,
}: FreshnessRow): string[] {
  const faults: string[] = []
  if (ages === null || truth === null) faults.push('did not load the list')
  else {
    // A longer list is not swept as a whole in an hour, so a job that ran again after it had ended may stay stale for longer.
    const isSwept = pagesOf(workload.jobs) <= SWEPT_PAGES
    const oldest = ages.worst.median ?? Number.POSITIVE_INFINITY
    if (isSwept && oldest > OLDEST_MINUTES) faults.push(`had rows ${show(oldest, 1)} minutes old`)
    if (truth.missing + truth.extra > 0 || (isSwept && truth.stale > 0))
      faults.push(`holds other jobs than listed: ${JSON.stringify(truth)}`)
  }
  if (refusedADay !== null && refusedADay > 0) faults.push(`got ${show(refusedADay)} answers 429 a day`)
  if (failedRuns > 0) faults.push(`failed in ${failedRuns} runs: ${lastLineOf(failure ?? '')}`)
  return faults.map((fault) => `${workload.name}, ${subject}: ${fault}`)
}

function wrongIn({ missing, stale, extra }: Truth): number {
  return missing + stale + extra
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
      else if (wrongIn(truth) > 0) faults.push(`holds other jobs than listed: ${JSON.stringify(truth)}`)
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
