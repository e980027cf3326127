import type { Row } from '../run.js'
import { FIRST, STEADY, UNCHANGED } from '../workloads.js'
import {
  find,
  jobsPerSecond,
  median,
  medianOf,
  peakMb,
  repeatedRequests,
  show,
  showRatio,
  toTable,
  walMb,
} from './figures.js'
import { toFailure, toWrong } from './tables.js'

const HEAD = [
  '',
  'jobs',
  'first load, jobs/s',
  'ours is × as fast',
  'unchanged re-run, jobs/s',
  'ours is × as fast',
  'peak RSS MB',
  'WAL MB',
  'missing / stale / extra under churn',
  'requests repeated after kill -9',
]

/**
 * Composes the table of the most important figures: one line for each subject, at its largest list of at most `large` jobs.
 * A smaller list is marked, and compared with spidra-sync at the same size. Churn and kill are of `small` jobs for all.
 */
export function toHeadline(
  rows: readonly Row[],
  { small, large }: { readonly small: number; readonly large: number },
): string {
  const loads = rows.filter(({ kind, jobs, step }) => kind === 'load' && step === FIRST && jobs <= large)
  const subjects = [...new Map(loads.map(({ subject, role }) => [subject, role]))]
  const us = subjects.find(([, role]) => role === 'ours')?.[0]
  if (us === undefined) return 'Not measured.\n'
  const lines = subjects.flatMap(([subject, role]) => {
    const sizes = loads.filter((row) => row.subject === subject).map(({ jobs }) => jobs)
    const shown =
      role === 'ours' ? [...new Set([small, large])].filter((jobs) => sizes.includes(jobs)) : [Math.max(...sizes)]
    return shown.map((jobs) => ({ jobs, cells: cellsOf(rows, { subject, us, jobs, small, isLarge: jobs === large }) }))
  })
  const isLarge = lines.some(({ jobs }) => jobs === large)
  const steady = toSteady(rows, us, isLarge ? large : small)
  const sorted = lines.toSorted((one, other) => other.jobs - one.jobs).map(({ cells }) => cells)
  const table = toTable(HEAD, steady === null ? sorted : [...sorted.slice(0, 1), steady, ...sorted.slice(1)])
  const isMarked = lines.some(({ jobs }) => jobs < large)
  const mark = `\\* Measured with ${show(small)} jobs, and compared with ours at that size. `
  return [
    table,
    '',
    `${isMarked ? mark : ''}Churn and kill -9: ${show(small)} jobs.`,
    'RSS and WAL are those of the first load.',
    '',
  ].join('\n')
}

interface Place {
  readonly subject: string
  readonly us: string
  readonly jobs: number
  readonly small: number
  readonly isLarge: boolean
}

function cellsOf(rows: readonly Row[], { subject, us, jobs, small, isLarge }: Place): string[] {
  const [first, unchanged] = [FIRST, UNCHANGED].map((step) => find(rows, { kind: 'load', jobs, step, subject }))
  const ratio = (step: string) => {
    const [ours, theirs] = [us, subject].map((name) =>
      jobsPerSecond(find(rows, { kind: 'load', jobs, step, subject: name })),
    )
    return subject === us || ours == null || theirs == null ? '' : showRatio(ours / theirs)
  }
  return [
    `${subject === us ? `**${subject}**` : subject}${isLarge ? '' : ' \\*'}${first === undefined ? '' : toFailure(first)}`,
    show(jobs),
    show(jobsPerSecond(first)),
    ratio(FIRST),
    show(jobsPerSecond(unchanged)),
    ratio(UNCHANGED),
    show(median(first, peakMb)),
    show(median(first, walMb), 1),
    toWrong(find(rows, { kind: 'churn', step: FIRST, subject })),
    show(medianOf(repeatedRequests(rows, subject, small))),
  ]
}

/** The line of the incremental run, which the other subjects do not have. */
function toSteady(rows: readonly Row[], us: string, jobs: number): string[] | null {
  const steady = find(rows, { kind: 'load', jobs, step: STEADY, subject: us })
  if (steady === undefined) return null
  const rss = show(median(steady, peakMb))
  const wal = show(median(steady, walMb), 1)
  return [`**${us}**, incremental run`, show(jobs), '', '', show(jobsPerSecond(steady)), '', rss, wal, '', '']
}
