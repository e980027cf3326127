import { TIMING } from '../config/scale.js'
import { counted, toSentence, wrapSentence } from '../logging/printable.js'
import { explainReason } from '../sync/reasons.js'
import { toCount, toDuration, toInstant, toTimeLabels } from './format.js'
import { LATE_SECONDS, toEnding } from './freshness.js'
import { toLoadSentence } from './load-progress.js'
import { toResultsText } from './results.js'
import type { AlertReport, RunReport, StatusReport } from './status.js'
import { cut, joinBlocks, toPlainTable } from './terminal.js'

const HEADINGS = ['Started (UTC)', 'Mode', 'Status', 'Took', 'Read', 'New', 'Changed', 'Removed']

/** Longer account names are cut off, so that a line fits into 80 columns. */
const MAX_NAME = 36

const LINE_HEADINGS = ['Account', 'Last run', 'Complete as of', 'Jobs', 'Alerts']

/** Colours a text. */
export type Paint = (colour: 'green' | 'yellow' | 'red', text: string) => string

/**
 * Formats the status of one account for a terminal of 80 columns. The first line says how fresh the table is.
 *
 * @param paint default: no colours
 */
export function toStatusText(report: StatusReport, paint: Paint = (_colour, text) => text): string {
  const { alerts, runs } = report
  const summary = [
    ...[toCompleteness(report), ...toAgeOfRest(report), ...toLastEnding(report), ...toLoad(report)],
    ...toResults(report),
    ...[...toStock(report), ...toNextRun(report), ...toBudget(report), ...toSpending(report)],
  ]
  const blocks = [
    summary.map(wrapSentence),
    // Painted line by line, because a colour must end in the line in which it begins.
    alerts.flatMap((alert) => wrapSentence(toAlarm(alert)).split('\n')).map((line) => paint('red', line)),
    runs.length > 0 ? toTable(report, paint) : [],
    toTrouble(report).map(wrapSentence),
  ]
  return joinBlocks(blocks)
}

/**
 * Formats several accounts for a terminal of 80 columns, one line each: the last run, the freshness, and firing alerts.
 *
 * @param paint default: no colours
 */
export function toStatusLines(reports: readonly StatusReport[], paint: Paint = (_colour, text) => text): string {
  const rows = reports.map(({ account, runs: [last], lagSeconds, progress, liveJobs, alerts }) => [
    cut(account, MAX_NAME),
    last === undefined ? 'no run yet' : paintStatus(last, paint),
    lagSeconds !== null
      ? `${toDuration(lagSeconds)} ago`
      : progress?.percent == null
        ? 'never'
        : `${progress.percent} % loaded`,
    liveJobs,
    alerts.length === 0 ? 0 : paint('red', String(alerts.length)),
  ])
  const due = reports.flatMap(({ account, results }) =>
    results === undefined || results.dueJobs === 0
      ? []
      : [wrapSentence(`Results of ${account}: ${toResultsText(results)}.`)],
  )
  const hint = wrapSentence('`spidra-sync status --account NAME` shows one account in full.')
  return `${[...toPlainTable([LINE_HEADINGS, ...rows], { left: 3 }), '', ...due, hint].join('\n')}\n`
}

function toCompleteness({ lastCompleteAt, lagSeconds, runs }: StatusReport): string {
  if (lastCompleteAt !== null && lagSeconds !== null) {
    return `Complete as of ${toDuration(lagSeconds)} ago (${toInstant(lastCompleteAt)}).`
  }
  return runs.length === 0 ? 'No run yet.' : 'No complete run yet.'
}

function toAgeOfRest({ rereadSince }: StatusReport): string[] {
  return rereadSince === null ? [] : [`Every job read again since ${toInstant(rereadSince)}.`]
}

function toLastEnding({ runs, asOf }: StatusReport): string[] {
  const last = runs[0]
  if (last === undefined || last.status === 'complete') return []
  if (last.status === 'running') {
    const silentMs = Date.parse(asOf) - Date.parse(last.heartbeatAt)
    if (silentMs <= TIMING.deadAfterMs) return ['A run is under way.']
    return [`The last run has sent no heartbeat for ${toDuration(silentMs / 1000)}: the next run continues it.`]
  }
  if (hasYielded(last)) return ['The last run yielded its account: any worker continues it.']
  // The message of an error is shown below the runs.
  return [toSentence(toEnding({ ...last, message: null }))]
}

function toLoad({ progress }: StatusReport): string[] {
  return progress === null ? [] : [toLoadSentence(progress)]
}

function toResults({ results }: StatusReport): string[] {
  return results === undefined ? [] : [`Results: ${toResultsText(results)}.`]
}

function toStock({ account, liveJobs, stuckJobs, openRejections, outdatedJobs }: StatusReport): string[] {
  const stuck = stuckJobs === 0 ? '' : `, ${toCount(stuckJobs)} of them stuck`
  const stock = `Account ${account}: ${counted(liveJobs, 'job')} stored${stuck}.`
  const unstored = openRejections - outdatedJobs
  const kept = [
    ...(unstored === 0
      ? []
      : [`${counted(unstored, 'listed item')} not stored as ${unstored === 1 ? 'a job' : 'jobs'}`]),
    ...(outdatedJobs === 0 ? [] : [`the newest versions of ${counted(outdatedJobs, 'stored job')}`]),
  ]
  return kept.length === 0 ? [stock] : [stock, `In quarantine (spidra.rejected_jobs): ${kept.join(', ')}.`]
}

function toNextRun({ nextRunAt, asOf, runs }: StatusReport): string[] {
  if (nextRunAt === null) return []
  const lateBy = (Date.parse(asOf) - Date.parse(nextRunAt)) / 1000
  if (lateBy <= 0) return [`Next run: ${toInstant(nextRunAt)}.`]
  if (runs[0]?.status === 'running') return []
  if (lateBy <= LATE_SECONDS) return [`The next run is due since ${toInstant(nextRunAt)}.`]
  return [`No next run is known: one was due at ${toInstant(nextRunAt)}. Is the service running?`]
}

function toBudget({ rateLimit, asOf }: StatusReport): string[] {
  if (rateLimit === null || rateLimit.remaining === null) return []
  const { limit, remaining, resetAt } = rateLimit
  if (resetAt === null) return [`Requests left: ${remaining} of ${limit}.`]
  if (resetAt > asOf) return [`Requests left: ${remaining} of ${limit} until ${toInstant(resetAt)}.`]
  return [`Requests left: all ${limit}, since ${toInstant(resetAt)}.`]
}

/** The requests of the day. */
function toSpending({ today }: StatusReport): string[] {
  if (today.runs === 0) return []
  const waited = today.waitedMs < 1000 ? '' : `, ${toDuration(today.waitedMs / 1000)} waited`
  const runs = counted(today.runs, 'run')
  return [`Requests today (UTC): ${toCount(today.requests)} in ${runs}${waited}.`]
}

function toAlarm({ kind, since, summary }: AlertReport): string {
  return `Alert ${kind} since ${toInstant(since)}: ${toSentence(summary)}`
}

function toTable({ runs, asOf }: StatusReport, paint: Paint): string[] {
  const times = toTimeLabels(
    runs.map((run) => new Date(run.startedAt)),
    new Date(asOf),
  )
  const rows = runs.map((run, i) => [
    times[i] ?? '',
    run.mode,
    paintStatus(run, paint),
    toDuration(run.durationMs / 1000),
    ...toCounts(run),
  ])
  return toPlainTable([HEADINGS, ...rows], { left: 3 })
}

/** Whether the run ended so that another worker continues it. It is stored as aborted, which would look like a fault. */
function hasYielded({ status, reason }: Pick<RunReport, 'status' | 'reason'>): boolean {
  return status === 'aborted' && reason === 'handed_on'
}

/** Formats a status in its colour. */
function paintStatus(run: Pick<RunReport, 'status' | 'reason'>, paint: Paint): string {
  const { status } = run
  if (hasYielded(run)) return 'yielded'
  if (status === 'complete') return paint('green', status)
  if (status === 'failed') return paint('red', status)
  return status === 'running' ? status : paint('yellow', status)
}

/** Formats the counters. A run under way stores them with its heartbeat: before the first they are unknown, not 0. */
function toCounts(run: RunReport): readonly (number | string)[] {
  const isUnknown = run.status === 'running' && run.heartbeatAt === run.startedAt
  return [run.jobsRead, run.inserted, run.updated, run.removed].map((count) => (isUnknown ? '-' : count))
}

/** Lists the reasons and errors of the runs. A text that several runs share, or that an alert contains, is shown once. */
function toTrouble({ alerts, runs }: StatusReport): string[] {
  const idsByEnding = new Map<string, string[]>()
  for (const run of runs) {
    const { id, status, reason, errorMessage } = run
    if (hasYielded(run)) continue
    if (reason === null && errorMessage === null) continue
    const isSaid = errorMessage !== null && alerts.some(({ summary }) => summary.includes(errorMessage))
    // The meaning of the last run's reason stands above the runs.
    const meaning = reason === null || reason === runs[0]?.reason ? null : explainReason(reason).meaning
    const words = isSaid ? null : (errorMessage ?? meaning)
    // A message may quote a server, whose control characters the terminal would obey.
    const ending = toSentence(`${status}${reason === null ? '' : ` (${reason})`}${words === null ? '' : `: ${words}`}`)
    idsByEnding.set(ending, [...(idsByEnding.get(ending) ?? []), id])
  }
  const list = new Intl.ListFormat('en-GB')
  return [...idsByEnding].map(([ending, ids]) => `${ids.length === 1 ? 'Run' : 'Runs'} ${list.format(ids)} ${ending}`)
}
