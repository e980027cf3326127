import { wrapSentence } from '../logging/printable.js'
import { toPlainTable } from './plain-table.js'
import type { StatusReport } from './status.js'
import { isHandedOn, type Paint, paintStatus, toAge } from './status-text.js'

/** Longer names are cut off, so that a line stays within 80 columns. */
const MAX_NAME = 36

const HEADINGS = ['Account', 'Last run', 'Complete as of', 'Jobs', 'Alerts']

/**
 * Several accounts for a terminal of 80 columns, a line each: the last run, how fresh the table is, and what fires.
 *
 * @param paint default: no colours
 */
export function toStatusLines(reports: readonly StatusReport[], paint: Paint = (_colour, text) => text): string {
  const rows = reports.map(({ account, runs: [last], lagSeconds, liveJobs, alerts }) => [
    account.length > MAX_NAME ? `${account.slice(0, MAX_NAME - 1)}…` : account,
    last === undefined ? 'no run yet' : paintStatus(last, paint),
    lagSeconds !== null ? toAge(lagSeconds) : last !== undefined && isHandedOn(last) ? 'not yet' : 'never',
    liveJobs,
    alerts.length === 0 ? 0 : paint('red', String(alerts.length)),
  ])
  const hint = wrapSentence('`spidra-sync status --account NAME` tells all of one account.')
  return `${[...toPlainTable([HEADINGS, ...rows], 3), '', hint].join('\n')}\n`
}
