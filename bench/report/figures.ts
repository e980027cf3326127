import type { Measurement } from '../measurement.js'
import type { Row } from '../run.js'
import { AGAIN, KILLED, type Kind, pagesOf } from '../workloads.js'

export type Read = (measurement: Measurement) => number | null

export const peakMb: Read = ({ peakRssBytes }) => (peakRssBytes === null ? null : peakRssBytes / 1e6)
export const walMb: Read = ({ walBytes }) => walBytes / 1e6

/** Null where nothing was measured. */
export function medianOf(values: readonly (number | null)[]): number | null {
  const sorted = values.filter((value) => value !== null).sort((one, other) => one - other)
  const middle = sorted.length >> 1
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle], sorted[middle]]
  return low === undefined || high === undefined ? null : (low + high) / 2
}

/** Null where nothing was measured. */
export function mostOf(values: readonly (number | null)[]): number | null {
  const found = values.filter((value) => value !== null)
  return found.length === 0 ? null : Math.max(...found)
}

/** The rounds that ended as they should: with 0, or killed where that was asked for. */
export function endedWell({ step, measurements }: Row): Measurement[] {
  return measurements.filter(({ code }) => code === (step === KILLED ? null : 0))
}

/** The median of the rounds that ended well. */
export function median(row: Row | undefined, read: Read): number | null {
  return row === undefined ? null : medianOf(endedWell(row).map(read))
}

/** Jobs of the list by the seconds of the run: how fast a table of that size is brought up to date. */
export function jobsPerSecond(row: Row | undefined): number | null {
  const seconds = median(row, (measurement) => measurement.seconds)
  return row === undefined || seconds === null ? null : row.jobs / seconds
}

/** One row of what was measured; undefined: it was not. */
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
 * Requests of the killed run and of the one after it, less the pages of the list, round by round: what was asked for
 * twice. Rounds that ended before they were killed, or failed afterwards, say nothing and are left out.
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

/** `-` for null; thousands apart where there are no decimals. */
export function show(value: number | null, digits = 0): string {
  if (value === null) return '-'
  return digits === 0 ? Math.round(value).toLocaleString('en') : value.toFixed(digits)
}

/** How many times as much, short: 3.4, 34, 1,234. */
export function showRatio(ratio: number | null): string {
  if (ratio === null || !Number.isFinite(ratio)) return '-'
  return show(ratio, ratio < 1 ? 2 : ratio < 20 ? 1 : 0)
}

/** A table of Markdown, its first column to the left and all others to the right unless told otherwise. */
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
