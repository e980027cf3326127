import { counted, toSentence, wrapSentence } from '../logging/printable.js'
import type { DashboardData } from './dashboard-data.js'
import { toCount, toDuration, toPercent, toTimeLabels } from './format.js'
import { toFreshness } from './freshness.js'
import { cut, joinBlocks, toPlainTable } from './terminal.js'

const BAR_WIDTH = 16

/** Formats the report for a terminal of 80 columns. */
export function toReportText(data: DashboardData): string {
  const { filters, total, totalDuration } = data
  const { headline, alerts, details } = toFreshness({ ...data, account: filters.account })
  const summary = [
    `Account ${filters.account}, the last ${filters.days === 1 ? 'day' : counted(filters.days, 'day')} (UTC):`,
    `  jobs ${toCount(total?.jobs ?? 0)}, of them open ${toCount(total?.open_jobs ?? 0)}, failed ${toCount(total?.failed_jobs ?? 0)}`,
    `  URLs ${toCount(total?.urls ?? 0)}, succeeded ${toPercent(total?.success_rate ?? null)} of those finished`,
    `  duration: median ${toDuration(totalDuration?.p50_seconds ?? null)}, 95th percentile ${toDuration(totalDuration?.p95_seconds ?? null)}`,
  ]
  const blocks = [
    [`${headline}.`, ...alerts, ...details].flatMap(wrap),
    summary.flatMap(wrap),
    daysTable(data),
    hostsTable(data),
    openTable(data),
    runsTable(data),
  ]
  return joinBlocks(blocks)
}

function daysTable({ days, durations, results }: DashboardData): string[] {
  const most = Math.max(1, ...days.map(({ jobs }) => jobs))
  const byDay = new Map(durations.map((row) => [row.day, row]))
  const creditsOf = new Map(results?.credits.map(({ day, credits }) => [day, credits]))
  const rows = days.map((row) => [
    row.day,
    toBar(row.jobs / most),
    toCount(row.jobs),
    toCount(row.failed_jobs),
    toCount(row.urls),
    toPercent(row.success_rate),
    toDuration(byDay.get(row.day)?.p95_seconds ?? null),
    ...(results === undefined ? [] : [toCredits(creditsOf.get(row.day))]),
  ])
  const headings = ['Day', '', 'Jobs', 'Failed', 'URLs', 'Success', 'p95']
  return toLines(results === undefined ? headings : [...headings, 'Credits'], rows, 2)
}

/** Without a batch that was read, nothing is known of the day. */
function toCredits(credits: number | undefined): string {
  return credits === undefined ? '–' : toCount(Math.round(credits))
}

/** The hosts of which URLs failed; nothing where results are off. */
function hostsTable({ results }: DashboardData): string[] {
  if (results === undefined) return []
  const { failingHosts } = results
  if (failingHosts.length === 0) return ['No URL failed in the last 30 days, as far as results have been read.']
  const rows = failingHosts.map(({ host, error, urls }) => [
    cut(host ?? 'no host', 28),
    cut(error ?? 'no error given', 40),
    toCount(urls),
  ])
  return ['Failing hosts in the last 30 days:', ...toLines(['Host', 'Error', 'URLs'], rows, 2)]
}

function openTable({ open, stuck }: DashboardData): string[] {
  const [first] = open
  if (first === undefined) return ['No open jobs.']
  const isStuck = new Set(stuck.map(({ uuid }) => uuid))
  const rows = open
    .slice(0, 10)
    .map((job) => [
      job.uuid,
      toBar(job.progress ?? 0, 10),
      `${job.completed_count + job.failed_count}/${job.total_urls}`,
      toDuration(job.age_seconds),
      isStuck.has(job.uuid) ? 'stuck' : '',
    ])
  const stuckJobs = stuck[0]?.jobs_in_all ?? 0
  const title = `Open jobs: ${toCount(first.jobs_in_all)}${stuckJobs > 0 ? `, stuck ${toCount(stuckJobs)}` : ''}; the oldest:`
  return [title, ...toLines(['Job', 'Progress', 'URLs', 'Age', ''], rows, 2)]
}

function runsTable({ runs, freshness }: DashboardData): string[] {
  const last = runs.slice(0, 10)
  const times = toTimeLabels(
    last.map((run) => run.started_at),
    freshness.read_at,
  )
  const rows = last.map((run, i) => [
    times[i] ?? '',
    run.mode,
    run.status,
    toDuration(run.duration_seconds),
    toCount(run.requests),
    toCount(run.inserted),
    toCount(run.updated),
  ])
  return toLines(['Started (UTC)', 'Mode', 'Status', 'Took', 'Requests', 'New', 'Changed'], rows, 3)
}

/** @param left the number of columns that are aligned left; the others are aligned right */
function toLines(headings: readonly string[], rows: readonly (readonly string[])[], left: number): string[] {
  if (rows.length === 0) return []
  return toPlainTable(
    [headings, ...rows].map((row) => row.map(toSentence)),
    { left, gap: 2 },
  )
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

/** Draws a bar in eighths of a character. Every share above 0 is visible. */
function toBar(share: number, width = BAR_WIDTH): string {
  const eighths = share > 0 ? Math.max(1, Math.round(Math.min(1, share) * width * 8)) : 0
  return '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '')
}

/** Wraps a sentence, without control characters, which a message quoted from a server may contain. */
function wrap(text: string): string[] {
  return wrapSentence(toSentence(text)).split('\n')
}
