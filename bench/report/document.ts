import type { Row } from '../run.js'
import { toFailures } from './failures.js'
import { toTable } from './figures.js'
import { toGoals } from './goals.js'
import { toHeadline } from './headline.js'
import { toTables } from './tables.js'

const verdictOf = (isMet: boolean | null) => (isMet === null ? '-' : isMet ? 'met' : '**missed**')

/** The report as Markdown. `chart` is the name of the picture beside it; null: there is none. */
export function toMarkdown(
  rows: readonly Row[],
  {
    facts,
    skipped,
    sizes,
    chart,
  }: {
    readonly facts: readonly string[]
    /** What was not run, and why. */
    readonly skipped: readonly string[]
    /** Of the headline and the targets. */
    readonly sizes: { readonly small: number; readonly large: number; readonly huge: number }
    readonly chart: string | null
  },
): string {
  return [
    '# What a sync costs, here and elsewhere',
    '',
    'Written by `npm run bench`. Figures are medians of all rounds, in which the subjects took turns; the spread goes from',
    'the fastest to the slowest round. CPU and memory are those of the whole process tree, WAL is that of the whole server.',
    'Jobs/s are the jobs of the list by the seconds of the run, start-up among them.',
    '*Missing*: listed, and not in the table at the end. *Stale*: with other fields. *Extra*: no longer listed.',
    '',
    ...facts.map((fact) => `- ${fact}`),
    ...skipped.map((line) => `- Not run: ${line}`),
    '',
    toHeadline(rows, sizes),
    '## Targets',
    '',
    'The worst round counts where a target is a bound for safety (WAL, rows, requests), the median elsewhere.',
    '',
    toTable(
      ['target', 'measured', ''],
      toGoals(rows, sizes).map(({ text, figure, isMet }) => [text, figure, verdictOf(isMet)]),
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
    '## All figures',
    '',
    toTables(rows),
  ].join('\n')
}
