import type { Row } from '../run.js'
import type { StandingRow } from '../standing-still.js'
import { KILLED } from '../workloads.js'
import { endedWell, jobsPerSecond, median, peakMb, type Read, repeatedRequests, show, toTable } from './figures.js'

const COLUMNS: readonly { readonly name: string; readonly read: Read; readonly digits: number }[] = [
  { name: 'client CPU s', read: ({ clientCpuSeconds }) => clientCpuSeconds, digits: 2 },
  { name: 'server CPU s', read: ({ serverCpuSeconds }) => serverCpuSeconds, digits: 2 },
  { name: 'peak RSS MB', read: peakMb, digits: 0 },
  { name: 'first request after ms', read: ({ startUpMs }) => startUpMs, digits: 0 },
  { name: 'requests', read: ({ requests }) => requests, digits: 0 },
  { name: 'WAL kB', read: ({ walBytes }) => walBytes / 1e3, digits: 0 },
  { name: 'of the table kB', read: ({ tableWalBytes }) => tableWalBytes && tableWalBytes / 1e3, digits: 0 },
  { name: 'dead tuples', read: ({ deadTuples }) => deadTuples, digits: 0 },
]

/** Composes a table for each workload and step, in the order in which they were played. */
export function toTables(rows: readonly Row[]): string {
  const titleOf = ({ workload, step }: Row) => `### ${workload}: ${step}`
  const titles = new Set(rows.map(titleOf))
  return [...titles]
    .map((title) => {
      const own = rows.filter((row) => titleOf(row) === title)
      return [title, '', toStepTable(own, rows), ''].join('\n')
    })
    .join('\n')
}

function toStepTable(own: readonly Row[], rows: readonly Row[]): string {
  const isKill = own.some(({ kind, step }) => kind === 'kill' && step !== KILLED)
  const head = ['', 'jobs/s', 'seconds', 'spread', ...COLUMNS.map(({ name }) => name), 'missing / stale / extra']
  return toTable(
    isKill ? [...head, 'repeated'] : head,
    own.map((row) => (isKill ? [...cellsOf(row), repeatedOf(row, rows)] : cellsOf(row))),
  )
}

function cellsOf(row: Row): string[] {
  const seconds = endedWell(row).map((measurement) => measurement.seconds)
  return [
    `${row.subject}${toFailure(row)}`,
    row.step === KILLED ? '-' : show(jobsPerSecond(row)),
    show(
      median(row, (measurement) => measurement.seconds),
      2,
    ),
    seconds.length === 0 ? '-' : `${show(Math.min(...seconds), 2)} to ${show(Math.max(...seconds), 2)}`,
    ...COLUMNS.map(({ read, digits }) => show(median(row, read), digits)),
    row.step === KILLED ? '-' : toWrong(row),
  ]
}

/** Medians of missing, stale and extra rows; `-` if the subject stores nothing or was not measured. */
export function toWrong(row: Row | undefined): string {
  if (row !== undefined && endedWell(row).length === 0) return 'failed'
  const parts = (['missing', 'stale', 'extra'] as const).map((part) =>
    median(row, ({ truth }) => truth?.[part] ?? null),
  )
  return parts.includes(null) ? '-' : parts.map((part) => show(part)).join(' / ')
}

function repeatedOf({ subject, jobs }: Row, rows: readonly Row[]): string {
  const repeated = repeatedRequests(rows, subject, jobs)
  if (repeated.length === 0) return '-'
  const [least, most] = [Math.min(...repeated), Math.max(...repeated)]
  return least === most ? show(least) : `${show(least)} to ${show(most)}`
}

/** `, failed in 2 of 5 rounds`; empty without failures. */
export function toFailure(row: Row): string {
  const failed = row.measurements.length - endedWell(row).length
  return failed === 0 ? '' : `, **failed in ${failed} of ${row.measurements.length} rounds**`
}

/** Composes the section about a day in which nothing changes. Empty if it was not measured. */
export function toStanding(rows: readonly StandingRow[]): string {
  const [first] = rows
  if (first === undefined) return ''
  const { jobs, ticks, speed } = first.workload
  return [
    '## A day in which nothing changes',
    '',
    `${show(jobs)} jobs, and ${show(ticks)} runs, one every five minutes. spidra-sync is the service with its default settings, a day of which goes ${speed} times`,
    'as fast, its full pass included; the server makes a checkpoint after each tick. The others read the whole list in each run: the mean of',
    `the measured runs, times ${show(ticks)}, without a limit. Under the limit of 28,800 requests a day they could not make so many runs.`,
    '',
    toStandingTable(rows),
    '',
  ].join('\n')
}

/** Composes the table of a day in which nothing changes. */
export function toStandingTable(rows: readonly StandingRow[]): string {
  return toTable(
    ['', 'runs measured', 'failed', 'client CPU s a day', 'server CPU s a day', 'WAL MB a day', 'requests a day'],
    rows.map(({ subject, runs, failedRuns, clientCpuSeconds, serverCpuSeconds, walBytes, requests }) => [
      subject,
      show(runs),
      show(failedRuns),
      show(clientCpuSeconds, 1),
      show(serverCpuSeconds, 1),
      show(walBytes / 1e6, 1),
      show(requests),
    ]),
  )
}
