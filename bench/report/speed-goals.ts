import type { Row } from '../run.js'
import { FIRST, STEADY, UNCHANGED } from '../workloads.js'
import { find, jobsPerSecond, show, showRatio } from './figures.js'
import type { Goal } from './goals.js'

/** The targets that compare jobs/s: ours at `large` jobs, each other at the largest list up to that it was given. */
export function toSpeedGoals(
  rows: readonly Row[],
  { us, large }: { readonly us: string; readonly large: number },
): Goal[] {
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
  if (ratio === null || theirs === null) return { text, figure: 'not measured', isMet: null }
  const figure = `${showRatio(ratio)} times (${theirs.name} at ${show(theirs.jobs)} jobs: ${show(theirs.speed)} jobs/s)`
  return { text, figure, isMet: ratio >= wanted }
}
