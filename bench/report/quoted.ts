import type { Results } from '../results.js'
import { ARRIVED, FIRST, STEADY, UNCHANGED } from '../workloads.js'
import { find, median, mostOf, peakMb, show, toTable, walMb } from './figures.js'
import { toFreshnessHeadline } from './freshness.js'
import { toHeadline } from './headline.js'
import { toStandingTable } from './tables.js'

/** Figures that README.md and docs/ quote, as Markdown, by the names of their marks. */
export type Quoted = Readonly<Record<string, string>>

/** Composes all figures that a page may quote. One that was not measured is left out, so that its mark is reported. */
export function toQuoted(
  results: Results,
  {
    facts,
    sizes,
  }: {
    readonly facts: readonly string[]
    readonly sizes: { readonly small: number; readonly large: number; readonly huge: number }
  },
): Quoted {
  const { rows } = results
  const us = rows.find(({ role }) => role === 'ours')?.subject ?? ''
  const ours = (jobs: number, step: string) => find(rows, { kind: 'load', jobs, step, subject: us })
  const seconds = (jobs: number, step: string) =>
    withUnit(
      median(ours(jobs, step), (one) => one.seconds),
      's',
    )
  const measured = [
    ...new Set(rows.filter(({ kind, role }) => kind === 'load' && role === 'ours').map(({ jobs }) => jobs)),
  ]
  const peakOf = (jobs: number) =>
    mostOf(
      rows
        .filter((row) => row.kind === 'load' && row.jobs === jobs && row.role === 'ours')
        .map((row) => median(row, peakMb)),
    )
  const firstWal = median(ours(sizes.huge, FIRST), ({ walBytes }) => walBytes)
  const steady = rows.filter(({ kind, role, step }) => kind === 'load' && role === 'ours' && step === STEADY)
  const steadyKb = steady.flatMap((row) => median(row, ({ walBytes }) => walBytes / 1e3) ?? [])
  const startUp = median(ours(sizes.small, STEADY), ({ startUpMs }) => startUpMs)
  const known: Record<string, string | null> = {
    facts: facts.map((fact) => `- ${fact}`).join('\n'),
    freshness: toFreshnessHeadline(results) || null,
    headline: us === '' ? null : (toHeadline(rows, sizes).split('\n\n', 1)[0] ?? null),
    'standing-still': results.standing.length === 0 ? null : toStandingTable(results.standing),
    'speed-and-size':
      measured.length === 0
        ? null
        : toTable(
            [
              'jobs',
              'first load',
              'read in full, unchanged',
              'steady run',
              '0.1 % new',
              'peak memory',
              'WAL of the first load',
            ],
            measured.map((jobs) => [
              show(jobs),
              ...[FIRST, UNCHANGED, STEADY, ARRIVED].map((step) => seconds(jobs, step) ?? '-'),
              withUnit(peakOf(jobs), 'MB') ?? '-',
              withUnit(median(ours(jobs, FIRST), walMb), 'MB') ?? '-',
            ]),
            ['left', 'left', 'left', 'left', 'left', 'left', 'left'],
          ),
    'steady-run': seconds(sizes.large, STEADY),
    'start-up': withUnit(startUp === null ? null : startUp / 1000, 's'),
    'wal-of-a-job': firstWal === null ? null : `${show(firstWal / sizes.huge)} bytes`,
    'steady-wal': steadyKb.length === 0 ? null : `${rangeOf(steadyKb)} kB`,
  }
  return Object.fromEntries(Object.entries(known).flatMap(([name, text]) => (text === null ? [] : [[name, text]])))
}

/** Two significant digits: 0.48 s, 4.0 s, 33 s, 162 MB. */
function withUnit(value: number | null, unit: string): string | null {
  if (value === null) return null
  return `${show(value, value < 1 ? 2 : value < 10 ? 1 : 0)} ${unit}`
}

function rangeOf(values: readonly number[]): string {
  return [...new Set([Math.min(...values), Math.max(...values)].map((value) => show(value)))].join(' to ')
}
