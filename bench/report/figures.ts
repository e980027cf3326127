import type { Measurement } from '../measurement.js'
import type { Row } from '../run.js'
import { AGAIN, KILLED, type Kind, pagesOf } from '../workloads.js'

export type Read = (measurement: Measurement) => number | null

export const peakMb: Read = ({ peakRssBytes }) => (peakRssBytes === null ? null : peakRssBytes / 1e6)
export const walMb: Read = ({ walBytes }) => walBytes / 1e6

/** The median of the known values; null without any. */
export function medianOf(values: readonly (number | null)[]): number | null {
  const sorted = values.filter((value) => value !== null).sort((one, other) => one - other)
  const middle = sorted.length >> 1
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]]
  return low === undefined || high === undefined ? null : (low + high) / 2
}

/** The largest of the known values; null without any. */
export function mostOf(values: readonly (number | null)[]): number | null {
  const found = values.filter((value) => value !== null)
  return found.length === 0 ? null : Math.max(...found)
}

/** The rounds that ended as expected: with exit code 0, or by the kill of a step that kills. */
export function endedWell({ step, measurements }: Row): Measurement[] {
  return measurements.filter(({ code }) => code === (step === KILLED ? null : 0))
}

/** The median of the rounds that ended well. */
export function median(row: Row | undefined, read: Read): number | null {
  return row === undefined ? null : medianOf(endedWell(row).map(read))
}

/** Jobs of the list divided by the median seconds of the run. */
export function jobsPerSecond(row: Row | undefined): number | null {
  const seconds = median(row, (measurement) => measurement.seconds)
  return row === undefined || seconds === null ? null : row.jobs / seconds
}

/** Finds the row of one subject and step; undefined: it was not measured. */
export function find(
  rows: readonly Row[],
  wanted: { readonly kind: Kind; readonly jobs?: number; readonly step: string; readonly subject: string },
): Row | undefined {
  const { kind, jobs, step, subject } = wanted
  return rows.find(
    (row) =>
      row.kind === kind && row.step === step && row.subject === subject && (jobs === undefined || row.jobs === jobs),
  )
}

/**
 * Counts the repeated requests of each round: requests of the killed run plus those of the run after it, minus the pages of
 * the list. Leaves out rounds that ended before the kill or failed after it.
 */
export function repeatedRequests(rows: readonly Row[], subject: string, jobs: number): number[] {
  const killed = find(rows, { kind: 'kill', jobs, step: KILLED, subject })?.measurements ?? []
  const again = find(rows, { kind: 'kill', jobs, step: AGAIN, subject })?.measurements ?? []
  return killed.flatMap((first, round) => {
    const second = again[round]
    if (first.code !== null || second?.code !== 0) return []
    return [first.requests + second.requests - pagesOf(jobs)]
  })
}

/** Formats a figure: `-` for null, with thousands separators where there are no decimals. */
export function show(value: number | null, digits = 0): string {
  if (value === null) return '-'
  return digits === 0 ? Math.round(value).toLocaleString('en') : value.toFixed(digits)
}

/** Formats a ratio: 3.4, 34, 1,234. */
export function showRatio(ratio: number | null): string {
  if (ratio === null || !Number.isFinite(ratio)) return '-'
  return show(ratio, ratio < 1 ? 2 : ratio < 20 ? 1 : 0)
}

/** The last line of a program's output, or the line of its exception, without backticks, to stand between backticks. */
export function lastLineOf(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '')
  const exception = lines.findLast((line) => /^[\w.]*(?:Error|Exception)\b/.test(line))
  return (exception ?? lines.at(-1) ?? 'no output').trim().replaceAll('`', "'").slice(0, 300)
}

/** Composes a Markdown table. By default the first column is aligned left and all others right. */
export function toTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  aligned: readonly ('left' | 'right')[] = head.map((_, column) => (column === 0 ? 'left' : 'right')),
): string {
  const toLine = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    toLine(head),
    `|${aligned.map((side) => (side === 'left' ? '---' : '---:')).join('|')}|`,
    ...rows.map(toLine),
  ].join('\n')
}
