import { counted, toSentence, wrapSentence } from '../logging/printable.js'
import { toInstant } from './format.js'
import { toPlainTable } from './plain-table.js'
import type { AlertReport, RunReport, StatusReport } from './status.js'

const HEADINGS = ['Started (UTC)', 'Mode', 'Status', 'Took', 'Read', 'New', 'Changed', 'Removed']

/** Colours a text, or leaves it as it is. */
export type Paint = (colour: 'green' | 'yellow' | 'red', text: string) => string

/**
 * The status for a terminal of 80 columns. The first line says in words how fresh the table is.
 *
 * @param paint default: no colours
 */
export function toStatusText(report: StatusReport, paint: Paint = (_colour, text) => text): string {
  const { alerts, runs } = report
  const summary = [
    ...[toFreshness(report), ...toAgeOfRest(report), ...toLastEnding(report)],
    ...[...toStock(report), ...toOutlook(report), ...toSpending(report)],
  ]
  const blocks = [
    summary.map(wrapSentence),
    // Line by line: what colours a line must end with it.
    alerts.flatMap((alert) => wrapSentence(toAlarm(alert)).split('\n')).map((line) => paint('red', line)),
    runs.length > 0 ? toTable(runs, paint) : [],
    toTrouble(report).map(wrapSentence),
  ]
  return blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map((line) => `${line}\n`).join(''))
    .join('\n')
}

function toFreshness({ lastCompleteAt, lagSeconds, runs }: StatusReport): string {
  if (lastCompleteAt !== null && lagSeconds !== null) {
    return `Complete as of ${toAge(lagSeconds)} (${toInstant(lastCompleteAt)}).`
  }
  return runs.length === 0 ? 'No run yet.' : 'No complete run yet.'
}

function toAgeOfRest({ rereadSince }: StatusReport): string[] {
  return rereadSince === null ? [] : [`Every job read again since ${toInstant(rereadSince)}.`]
}

function toLastEnding({ runs }: StatusReport): string[] {
  const last = runs[0]
  if (last === undefined || last.status === 'complete') return []
  if (last.status === 'running') return ['A run is under way.']
  if (isHandedOn(last)) return ['The last run was handed on: any worker goes on with it.']
  return [`The last run: ${last.status}${last.reason === null ? '' : ` (${last.reason})`}.`]
}

function toStock({ account, liveJobs, stuckJobs, openRejections, outdatedJobs }: StatusReport): string[] {
  const stuck = stuckJobs === 0 ? '' : `, ${stuckJobs.toLocaleString('en')} of them stuck`
  const stock = `Account ${account}: ${liveJobs.toLocaleString('en')} jobs stored${stuck}.`
  const unstored = openRejections - outdatedJobs
  const kept = [
    ...(unstored === 0
      ? []
      : [`${counted(unstored, 'listed item')} not stored as ${unstored === 1 ? 'a job' : 'jobs'}`]),
    ...(outdatedJobs === 0 ? [] : [`the newest versions of ${counted(outdatedJobs, 'stored job')}`]),
  ]
  return kept.length === 0 ? [stock] : [stock, `In quarantine (spidra.rejected_jobs): ${kept.join(', ')}.`]
}

function toOutlook({ nextRunAt, rateLimit }: StatusReport): string[] {
  const next = nextRunAt === null ? [] : [`Next run: ${toInstant(nextRunAt)}.`]
  if (rateLimit === null || rateLimit.remaining === null) return next
  const until = rateLimit.resetAt === null ? '' : ` until ${toInstant(rateLimit.resetAt)}`
  return [...next, `Requests left: ${rateLimit.remaining} of ${rateLimit.limit}${until}.`]
}

/** What the day has cost. */
function toSpending({ today }: StatusReport): string[] {
  if (today.runs === 0) return []
  const waited = today.waitedMs < 1000 ? '' : `, ${toDuration(today.waitedMs)} waited`
  const runs = counted(today.runs, 'run')
  return [`Requests today (UTC): ${today.requests.toLocaleString('en')} in ${runs}${waited}.`]
}

function toAlarm({ kind, since, summary }: AlertReport): string {
  return `Alert ${kind} since ${toInstant(since)}: ${toSentence(summary)}`
}

function toTable(runs: readonly RunReport[], paint: Paint): string[] {
  const rows = runs.map((run) => [
    run.startedAt.slice(0, 16).replace('T', ' '),
    run.mode,
    paintStatus(run, paint),
    toDuration(run.durationMs),
    ...toCounts(run),
  ])
  return toPlainTable([HEADINGS, ...rows], 3)
}

/** Whether the run is at an end only because another one goes on with it: it is stored as aborted, which alarms people. */
export function isHandedOn({ status, reason }: Pick<RunReport, 'status' | 'reason'>): boolean {
  return status === 'aborted' && reason === 'handed_on'
}

/** A status in its colour. */
export function paintStatus(run: Pick<RunReport, 'status' | 'reason'>, paint: Paint): string {
  const { status } = run
  if (isHandedOn(run)) return 'handed on'
  if (status === 'complete') return paint('green', status)
  if (status === 'failed') return paint('red', status)
  return status === 'running' ? status : paint('yellow', status)
}

/** A run under way tells its counters with its heartbeat: before the first, they are not 0 but unknown. */
function toCounts(run: RunReport): readonly (number | string)[] {
  const isUnknown = run.status === 'running' && run.heartbeatAt === run.startedAt
  return [run.jobsRead, run.inserted, run.updated, run.removed].map((count) => (isUnknown ? '-' : count))
}

/** What went wrong in runs, if their records say it. Words that several share, or an alert has, are said once. */
function toTrouble({ alerts, runs }: StatusReport): string[] {
  const idsByEnding = new Map<string, string[]>()
  for (const run of runs) {
    const { id, status, reason, errorMessage } = run
    if (isHandedOn(run)) continue
    const isSaid = errorMessage !== null && alerts.some(({ summary }) => summary.includes(errorMessage))
    const details = [reason, isSaid ? null : errorMessage].filter((detail) => detail !== null)
    if (details.length === 0) continue
    // A message may quote what a server sent, and a terminal obeys control characters.
    const ending = `${status}: ${toSentence(details.join(': '))}`
    idsByEnding.set(ending, [...(idsByEnding.get(ending) ?? []), id])
  }
  const list = new Intl.ListFormat('en-GB')
  return [...idsByEnding].map(([ending, ids]) => `${ids.length === 1 ? 'Run' : 'Runs'} ${list.format(ids)} ${ending}`)
}

/** How long ago, in one unit. */
export function toAge(seconds: number): string {
  const ago = new Intl.RelativeTimeFormat('en')
  if (seconds < 90) return ago.format(-seconds, 'second')
  if (seconds < 90 * 60) return ago.format(-Math.round(seconds / 60), 'minute')
  if (seconds < 48 * 3600) return ago.format(-Math.round(seconds / 3600), 'hour')
  return ago.format(-Math.round(seconds / 86_400), 'day')
}

function toDuration(ms: number): string {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`
  const minutes = Math.floor(ms / 60_000)
  return minutes < 60
    ? `${minutes}m ${Math.floor((ms % 60_000) / 1000)}s`
    : `${Math.floor(minutes / 60)}h ${minutes % 60}m`
}
