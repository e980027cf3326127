import { availableParallelism, cpus, totalmem } from 'node:os'
import type { Results } from '../results.js'
import type { Row } from '../run.js'
import type { Subject } from '../subjects/subject.js'
import { endedWell, lastLineOf, toTable } from './figures.js'
import { toFreshness, toFreshnessHeadline } from './freshness.js'
import { LEFT_OUT, toGoals } from './goals.js'
import { toHeadline } from './headline.js'
import { toStanding, toTables } from './tables.js'

const verdictOf = (isMet: boolean | null) => (isMet === null ? '-' : isMet ? 'met' : '**missed**')

/** Composes the report as Markdown. `chart` is the file name of the chart beside it; null: there is none. */
export function toMarkdown(
  results: Results,
  {
    facts,
    skipped,
    sizes,
    chart,
  }: {
    readonly facts: readonly string[]
    /** The subjects that were not run, each with the reason. */
    readonly skipped: readonly string[]
    /** Jobs in the lists of the headline and of the targets. */
    readonly sizes: { readonly small: number; readonly large: number; readonly huge: number }
    readonly chart: string | null
  },
): string {
  const { rows } = results
  return [
    '# What a sync costs, here and elsewhere',
    '',
    'Written by `npm run bench`. Figures are medians of all rounds, in which the subjects took turns; the spread goes from',
    'the fastest to the slowest round. CPU and memory are those of the whole process tree, WAL is that of the whole server.',
    'Jobs/s are the jobs of the list divided by the seconds of the run, start-up included.',
    '*Missing*: listed, and not in the table at the end. *Stale*: with other fields. *Extra*: no longer listed.',
    '',
    ...facts.map((fact) => `- ${fact}`),
    ...skipped.map((line) => `- Not run: ${line}`),
    '',
    toFreshnessHeadline(results),
    '',
    rows.length === 0 ? '' : toHeadline(rows, sizes),
    toFreshness(results),
    toStanding(results.standing),
    '## Targets',
    '',
    'The worst round counts where a target is a bound for safety (WAL, rows, requests), the median elsewhere.',
    ...LEFT_OUT,
    '',
    toTable(
      ['target', 'measured', ''],
      toGoals(results, sizes).map(({ text, figure, isMet }) => [text, figure, verdictOf(isMet)]),
      ['left', 'left', 'left'],
    ),
    '',
    ...(chart === null
      ? []
      : [
          '## How cost grows',
          '',
          'Ours alone, without latency; both axes are logarithmic.',
          '',
          `![Time, memory, requests and WAL by jobs](${chart})`,
          '',
        ]),
    toFailures(rows),
    ...(rows.length === 0 ? [] : ['## All figures', '', toTables(rows)]),
  ]
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
}

/** Lists the failed rounds, each with its last line of output, or the line of its exception. Empty without failures. */
export function toFailures(rows: readonly Row[]): string {
  const lines = rows.flatMap((row) => {
    const well = endedWell(row)
    const bad = row.measurements.filter((measurement) => !well.includes(measurement))
    const [first] = bad
    if (first === undefined) return []
    const end = first.code === null ? 'was killed' : `ended with ${first.code}`
    const rounds = `${bad.length} of ${row.measurements.length} rounds`
    return [`- ${row.subject}, ${row.workload}, ${row.step}: ${end} in ${rounds}: \`${lastLineOf(first.output)}\``]
  })
  return lines.length === 0 ? '' : ['## Failures', '', ...lines, ''].join('\n')
}

/** The facts that a reader needs to compare figures: date, machine and versions. */
export function toFacts(options: {
  readonly rounds: number
  readonly postgres: string
  readonly subjects: readonly Subject[]
}): string[] {
  const { rounds, postgres, subjects } = options
  const versions = [...new Set(subjects.map((subject) => subject.versions))].join(', ')
  return [
    `Date: ${new Date().toISOString().slice(0, 10)}. Rounds: ${rounds}.`,
    `Machine: ${cpus()[0]?.model ?? 'unknown CPU'}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB; simulator, client and Postgres share them.`,
    `Node ${process.versions.node}; Postgres ${postgres} with its usual settings, autovacuum off.`,
    `Versions: ${versions}.`,
  ]
}
