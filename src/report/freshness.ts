import { TIMING } from '../config/scale.js'
import { counted } from '../logging/printable.js'
import { explainReason } from '../sync/reasons.js'
import type { DashboardData } from './dashboard-data.js'
import { toClock, toCount, toDuration } from './format.js'
import { toLoadSentence, toProgressText } from './load-progress.js'
import { toResultsText } from './results.js'

/** The age of the last verdict up to which a table counts as fresh: the larger of both limits. */
export interface FreshLimits {
  /** Number of schedule intervals. */
  readonly intervals: number
  /** In milliseconds, however short the interval is. */
  readonly minMs: number
}

/** Three schedule intervals, at least 15 minutes. */
export const FRESH_LIMITS: FreshLimits = { intervals: 3, minMs: TIMING.freshMs }

/** Computes the age up to which a table is fresh, in milliseconds. */
export function toFreshLimitMs(intervalMs: number, { intervals, minMs }: FreshLimits = FRESH_LIMITS): number {
  return Math.max(minMs, intervals * intervalMs)
}

/** The freshness of an account in words: a headline, details, and a tone that sets the colour. */
export interface Freshness {
  readonly tone: 'good' | 'warning' | 'bad'
  readonly headline: string
  readonly details: readonly string[]
  /** A sentence for each firing alert, oldest first. */
  readonly alerts: readonly string[]
  /** Share of the first pass that is done; null when no first pass is under way, or its share is unknown. */
  readonly progress: number | null
}

/** The age up to which a table counts as fresh if no next run is scheduled, in seconds. */
const FRESH_WITHOUT_SCHEDULE_SECONDS = 60 * 60

/** A run that has not started this long after it was due counts as missing, in seconds. */
export const LATE_SECONDS = 120

/** What the freshness of an account is judged by. */
export interface FreshnessFacts
  extends Pick<DashboardData, 'freshness' | 'budget' | 'alerts' | 'progress' | 'results'> {
  readonly account: string
}

/** Describes the freshness of an account. A firing alert turns `good` into `warning`. */
export function toFreshness(facts: FreshnessFacts): Freshness {
  const { account, freshness, budget, alerts: firing, progress: load, results } = facts
  const { read_at: now, complete_as_of: completeAsOf, lag_seconds: lag, next_run_at: next, status } = freshness
  const isRunning = status === 'running'
  const lateBy = next === null ? 0 : (now.getTime() - next.getTime()) / 1000
  const isLate = !isRunning && lateBy > LATE_SECONDS
  const outlook = toOutlook(next, now, { isRunning, isLate })
  const trouble = toTrouble(freshness, firing)
  // The progress says how long a run waits.
  const wait = isRunning && load === null ? toWait(budget, now) : []
  const pass = load?.kind === 'reread' ? [toLoadSentence(load)] : []
  const reread = freshness.every_job_reread_since
  const rereadDetail = reread === null ? [] : [`Every job read again since ${toClock(reread, now)}.`]
  const ofResults = results === undefined ? [] : [`Results: ${toResultsText(results.progress)}.`]
  const quarantine = toQuarantine(freshness)
  const alerts = firing.map(({ kind, since, summary }) => `Alert ${kind} since ${toClock(since, now)}: ${summary}`)

  if (completeAsOf === null || lag === null) {
    if (status === null) {
      const headline = `No run yet for account ${account}${outlook === '' ? '' : `; ${outlook}`}`
      return { tone: 'warning', headline, alerts, details: ['Nothing is stored before the first run.'], progress: null }
    }
    const { listed_jobs: listed, jobs_read: read, pages_read: pages } = freshness
    const soFar = `${counted(read ?? 0, 'job')} on ${counted(pages ?? 0, 'page')} read in this run`
    const ratio = isRunning && listed !== null && listed > 0 ? Math.min(1, (read ?? 0) / listed) : null
    const progress = load === null ? ratio : load.percent === null ? null : load.percent / 100
    const headline =
      load !== null
        ? `Not complete yet: ${toProgressText(load)}`
        : isRunning
          ? `Not complete yet: the first pass is under way, ${soFar}`
          : `Not complete yet${outlook === '' ? '' : `; ${outlook}`}`
    const details = [...wait, ...trouble, ...quarantine, 'Numbers on this page are those of the jobs stored so far.']
    return { tone: trouble.length > 0 && status === 'failed' ? 'bad' : 'warning', headline, alerts, details, progress }
  }

  const isStale = lag > freshFor(freshness) || isLate
  const headline = `Complete as of ${toClock(completeAsOf, now)}, ${toDuration(Math.floor(lag))} ago${outlook === '' ? '' : `; ${outlook}`}`
  const staleness = isStale ? ['This is older than it should be: what came later is missing here.'] : []
  const tone = status === 'failed' ? 'bad' : isStale || trouble.length + alerts.length > 0 ? 'warning' : 'good'
  return {
    tone,
    headline,
    alerts,
    details: [...staleness, ...trouble, ...wait, ...quarantine, ...pass, ...rereadDetail, ...ofResults],
    progress: null,
  }
}

function freshFor({ next_run_at: next, started_at: started }: DashboardData['freshness']): number {
  if (next === null || started === null) return FRESH_WITHOUT_SCHEDULE_SECONDS
  return toFreshLimitMs(next.getTime() - started.getTime()) / 1000
}

function toOutlook(next: Date | null, now: Date, { isRunning = false, isLate = false }): string {
  if (isRunning) return 'a run is under way'
  if (next === null) return 'no next run is scheduled'
  if (isLate) return `the next run was due at ${toClock(next, now)}: is the service running?`
  const seconds = (next.getTime() - now.getTime()) / 1000
  return seconds <= 0 ? 'next run now' : `next run in ${toDuration(Math.ceil(seconds))}`
}

/** The end of the last run. An error message that an alert contains is not repeated. */
function toTrouble(
  { status, reason, error_message: error }: DashboardData['freshness'],
  alerts: DashboardData['alerts'],
): string[] {
  if (status === null || status === 'running' || status === 'complete') return []
  const isSaid = error !== null && alerts.some(({ summary }) => summary.includes(error))
  return [toEnding({ status, reason, message: isSaid ? null : error })]
}

/**
 * Says how a run ended that is not complete, what its reason means, and what to do.
 *
 * @param run `message`: of its error, in place of the meaning of its reason; null: there is none, or it is shown elsewhere
 */
export function toEnding(run: {
  readonly status: string
  readonly reason: string | null
  readonly message: string | null
}): string {
  const { status, reason } = run
  const { meaning, advice } = reason === null ? { meaning: null, advice: null } : explainReason(reason)
  const code = reason === null ? '' : ` (${reason})`
  const why = run.message ? `. ${run.message.replace(/\.$/, '')}` : meaning === null ? '' : `: ${meaning}`
  const end = `The last run ${status === 'failed' ? '' : 'was '}${status}${code}${why}.`
  return advice === null ? end : `${end} ${advice}`
}

/** The items in quarantine, which a verdict counts and the numbers on the page do not. */
function toQuarantine({ open_rejections: items }: DashboardData['freshness']): string[] {
  if (items === null || items === 0) return []
  return [
    `${counted(items, 'listed item')} could not be stored as listed: in quarantine (spidra.rejected_jobs), not in these numbers.`,
  ]
}

/** Warns when half of the budget is used: the default reserve leaves the other half to other calls. */
function toWait(budget: DashboardData['budget'], now: Date): string[] {
  if (budget?.rate_limit == null || budget.rate_remaining === null || budget.rate_reset_at === null) return []
  if (budget.rate_reset_at <= now || budget.rate_remaining > budget.rate_limit / 2) return []
  const left = `${toCount(budget.rate_remaining)} of ${counted(budget.rate_limit, 'request')} left`
  return [`It may have to wait for the request budget: ${left} until ${toClock(budget.rate_reset_at, now)}.`]
}
