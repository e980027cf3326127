import type { Measurement } from './measurement.js'
import type { Row } from './run.js'

/** The report as Markdown: a table for each workload and step, medians of all rounds. */
export function toMarkdown(rows: readonly Row[], facts: readonly string[], skipped: readonly string[]): string {
  const titles = new Set(rows.map(titleOf))
  const tables = [...titles].map((title) => `## ${title}\n\n${toTable(rows.filter((row) => titleOf(row) === title))}\n`)
  return [
    '# What a sync costs, here and elsewhere',
    '',
    'Written by `npm run bench`. Every figure is the median of all rounds, in which the subjects took turns; the spread is',
    'that of the seconds, from the fastest to the slowest round. *Wrong* counts jobs that are missing, stale, or no longer',
    'listed at the end. CPU and memory are those of the whole process tree.',
    '',
    ...facts.map((fact) => `- ${fact}`),
    ...skipped.map((line) => `- Not run: ${line}`),
    '',
    ...tables,
  ].join('\n')
}

const titleOf = ({ workload, step }: Row) => `${workload}: ${step}`

const HEAD = [
  '',
  'jobs/s',
  'seconds',
  'spread',
  'client CPU s',
  'server CPU s',
  'peak RSS MB',
  'requests',
  'WAL MB',
  'dead tuples',
  'wrong',
]

function toTable(rows: readonly Row[]): string {
  const lines = rows.map((row) => `| ${cellsOf(row).join(' | ')} |`)
  return [
    `| ${HEAD.join(' | ')} |`,
    `|${HEAD.map((_, index) => (index === 0 ? '---' : '---:')).join('|')}|`,
    ...lines,
  ].join('\n')
}

function cellsOf({ subject, jobs, measurements }: Row): string[] {
  const failure = measurements.find(({ code }) => code !== 0 && code !== null)
  const of = (read: (measurement: Measurement) => number | null) => medianOf(measurements.map(read))
  const seconds = of((measurement) => measurement.seconds)
  const times = measurements.map((measurement) => measurement.seconds)
  return [
    failure === undefined ? subject : `${subject} (ended with ${failure.code})`,
    seconds === null ? '-' : Math.round(jobs / seconds).toLocaleString('en'),
    show(seconds, 2),
    `${Math.min(...times).toFixed(2)} to ${Math.max(...times).toFixed(2)}`,
    show(
      of(({ clientCpuSeconds }) => clientCpuSeconds),
      2,
    ),
    show(
      of(({ serverCpuSeconds }) => serverCpuSeconds),
      2,
    ),
    show(
      of(({ peakRssBytes }) => (peakRssBytes === null ? null : peakRssBytes / 1e6)),
      0,
    ),
    show(
      of(({ requests }) => requests),
      0,
    ),
    show(
      of(({ walBytes }) => walBytes / 1e6),
      2,
    ),
    show(
      of(({ deadTuples }) => deadTuples),
      0,
    ),
    show(
      of(({ truth }) => truth && truth.missing + truth.stale + truth.extra),
      0,
    ),
  ]
}

function show(value: number | null, digits: number): string {
  if (value === null) return '-'
  return digits === 0 ? Math.round(value).toLocaleString('en') : value.toFixed(digits)
}

/** Null where nothing was measured. */
export function medianOf(values: readonly (number | null)[]): number | null {
  const sorted = values.filter((value) => value !== null).sort((one, other) => one - other)
  const middle = sorted.length >> 1
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]]
  return low === undefined || high === undefined ? null : (low + high) / 2
}
