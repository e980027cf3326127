import { createHash } from 'node:crypto'
import { counted } from '../logging/printable.js'
import { BROWSER_SCRIPT } from './browser-script.js'
import { type Charts, drawCharts, OUTCOMES, RUN_STATUSES } from './charts.js'
import type { DashboardData } from './dashboard-data.js'
import type { QUERIES, RESULT_QUERIES } from './dashboard-queries.js'
import { toCompactCount, toCount, toDuration, toPercent } from './format.js'
import { toFreshness } from './freshness.js'
import { html, type Markup, trusted } from './html.js'
import {
  ageCell,
  type Cell,
  card,
  countCell,
  longCell,
  progressCell,
  type Surroundings,
  secondsCell,
  shareCell,
  sourceOf,
  statusBadge,
  tableOf,
  timedRows,
  toPage,
  uuidCell,
  withTimes,
} from './page-parts.js'
import { STYLESHEET } from './stylesheet.js'

/** Composes the page of an account. It has no style attribute, and every text from outside is escaped. */
export function toDashboardPage(data: DashboardData, surroundings: Surroundings): string {
  const charts = drawCharts(data)
  const sections = html`${freshnessBlock(data)}${tiles(data)}
<div class="grid">${jobsChart(data, charts)}${successChart(data, charts)}${durationChart(data, charts)}${requestChart(data, charts)}${timelineChart(data, charts)}${resultsCards(data, charts)}</div>
${lists(data)}
${runsTable(data)}`
  return toPage(
    { ...surroundings, controls: surroundings.controls ?? scope(data) },
    { title: `Account ${data.filters.account}`, sections, sql: data.sql, readAt: data.freshness.read_at },
  )
}

/** Composes the dashboard as one file that loads nothing: its policy allows its own style and script only. */
export function toReportFile(data: DashboardData): string {
  const hash = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  const policy = `default-src 'none'; style-src ${hash(STYLESHEET)}; script-src ${hash(BROWSER_SCRIPT)}; img-src data:; base-uri 'none'; form-action 'none'`
  const head = html`<meta http-equiv="content-security-policy" content="${policy}"><link rel="icon" href="data:,"><style>${trusted(STYLESHEET)}</style>`
  return toDashboardPage(data, { head, controls: null, script: html`<script>${trusted(BROWSER_SCRIPT)}</script>` })
}

function scope({ filters }: DashboardData): Markup {
  const channel = filters.channel === null ? 'all channels' : `channel ${filters.channel}`
  return html`<p class="scope">Account ${filters.account}, ${channel}, ${counted(filters.days, 'day')}</p>`
}

function freshnessBlock(data: DashboardData): Markup {
  const { tone, headline, alerts, details, progress } = toFreshness({ ...data, account: data.filters.account })
  const timed = (text: string) => withTimes(text, data.freshness.read_at)
  const bar =
    progress === null
      ? null
      : html`<progress max="1" value="${progress}" aria-label="First pass">${toPercent(progress)}</progress>`
  return html`<section class="freshness ${tone}" aria-label="Freshness"><h1><a href="#sql-freshness">${timed(headline)}</a></h1>${bar}${alerts.map((alert) => html`<p class="alert"><a href="#sql-alerts">${timed(alert)}</a></p>`)}${details.map((detail) => html`<p>${timed(detail)}</p>`)}</section>
`
}

function tiles(data: DashboardData): Markup {
  const { stock, days, total, totalDuration, durations, filters, freshness, minutes, results } = data
  const today = freshness.read_at.toISOString().slice(0, 10)
  const now = days.find(({ day }) => day === today)
  const duration = durations.find(({ day }) => day === today)
  const period = filters.days === 1 ? 'today' : `in ${filters.days} days`
  const about = minutes === 1 ? '' : '≈ '
  const tile = (sql: SqlLink, name: string, label: string, value: number | string, below: Markup) => {
    const [shown, full] = typeof value === 'number' ? [toCompactCount(value), toCount(value)] : [value, value]
    return html`<div class="tile"><dt>${label}</dt><dd><a href="#sql-${sql}" title="${full}" data-number="${name}">${shown}</a><span>${below}</span></dd></div>
`
  }
  const small = (value = 0) => html`<span title="${toCount(value)}">${toCompactCount(value)}</span>`
  return html`<dl class="tiles">
${tile('stock', 'stored', 'Jobs stored', stock.jobs, html`all days; ${small(stock.open_jobs)} open`)}${
  filters.days === 1
    ? null
    : tile('days', 'jobs-today', 'Jobs today', now?.jobs ?? 0, html`${small(now?.open_jobs)} of them open`)
}${tile('days', 'jobs', `Jobs ${period}`, total?.jobs ?? 0, html`${small(total?.failed_jobs)} failed`)}${tile(
  ...(['days', 'urls', `URLs ${period}`, total?.urls ?? 0] as const),
  html`${small(total?.completed_urls)} completed`,
)}${tile(
  ...(['days', 'success', 'URL success rate', toPercent(total?.success_rate ?? null)] as const),
  html`today ${toPercent(now?.success_rate ?? null)}`,
)}${tile(
  ...(['durations', 'p95', 'p95 duration', `${about}${toDuration(totalDuration?.p95_seconds ?? null)}`] as const),
  html`today ${about}${toDuration(duration?.p95_seconds ?? null)}`,
)}${
  results === undefined
    ? null
    : tile(
        ...(['freshness', 'results-due', 'Results due', results.progress.dueJobs] as const),
        html`of ${small(results.progress.endedJobs)} ended`,
      )
}</dl>
`
}

/** A chart with its legend, its table and the link to its query; without a chart, the sentence that says why. */
function figure(
  sql: SqlLink,
  title: string,
  legend: readonly { title: string; color: string }[],
  chart: Markup | null,
  { table, empty, note = '', isWide = false }: { table: Markup; empty: string; note?: string; isWide?: boolean },
): Markup {
  const body =
    chart === null
      ? html`<p class="none">${empty}</p>`
      : html`<figure><figcaption><ul class="legend">${legend.map((item) => html`<li class="${item.color}">${item.title}</li>`)}</ul>${note === '' ? null : html`<p class="note">${note}</p>`}</figcaption>
${chart}</figure><details><summary>Table: ${title.toLowerCase()}</summary>${table}</details>`
  return html`<section class="card${isWide ? ' broad' : ''}"><h2>${title}</h2>${body}${sourceOf(sql, title)}</section>
`
}

function jobsChart({ days }: DashboardData, charts: Charts): Markup {
  const rows = days
    .toReversed()
    .map((row) => [row.day, countCell(row.jobs), ...OUTCOMES.map(({ column }) => countCell(row[column]))])
  return figure('days', 'Jobs a day', OUTCOMES, charts.jobs, {
    table: tableOf(['Day', 'Jobs', ...OUTCOMES.map(({ title }) => title)], rows),
    empty: 'No jobs in this period.',
  })
}

function successChart({ days }: DashboardData, charts: Charts): Markup {
  const rows = days
    .toReversed()
    .map((row) => [
      ...[row.day, shareCell(row.success_rate)],
      ...[countCell(row.completed_urls), countCell(row.failed_urls)],
    ])
  const legend = [{ title: 'URLs that succeeded, of those finished', color: 'succeeded' }]
  return figure('days', 'Success rate', legend, charts.success, {
    table: tableOf(['Day', 'Success rate', 'Completed URLs', 'Failed URLs'], rows),
    empty: 'No finished URLs in this period.',
  })
}

function durationChart({ days, durations, minutes, totalDuration, total }: DashboardData, charts: Charts): Markup {
  const byDay = new Map(durations.map((row) => [row.day, row]))
  const rows = days.toReversed().map(({ day }) => {
    const row = byDay.get(day)
    return [
      ...[day, secondsCell(row?.p50_seconds ?? null), secondsCell(row?.p95_seconds ?? null)],
      countCell(row?.finished_jobs ?? 0),
    ]
  })
  const legend = [
    { title: '95th percentile', color: 'p95' },
    { title: 'Median', color: 'p50' },
  ]
  const measured = `${toCount(totalDuration?.finished_jobs ?? 0)} of ${counted(total?.jobs ?? 0, 'job')}`
  return figure('durations', 'Duration', legend, charts.durations, {
    table: tableOf(['Day', 'Median', '95th percentile', 'Jobs measured'], rows),
    empty: 'No finished jobs in this period.',
    note:
      minutes === 1
        ? ''
        : `Estimated from the jobs created in one minute of every ${minutes}: ${measured}. "spidra-sync report" reads all jobs.`,
  })
}

function requestChart({ runs, budget, freshness }: DashboardData, charts: Charts): Markup {
  const rows = toRows(runs, freshness.read_at, (run) => [
    ...[countCell(run.requests), countCell(run.retries), secondsCell(run.waited_seconds)],
  ])
  const legend = [
    { title: 'Requests', color: 'open' },
    { title: 'Retries', color: 'partly' },
  ]
  return figure('runs', 'Requests a run', legend, charts.requests, {
    table: tableOf(['Run', 'Requests', 'Retries', 'Waited'], rows),
    empty: 'No run yet.',
    note:
      budget?.rate_limit == null || budget.rate_remaining === null
        ? ''
        : `At the last answer ${toCount(budget.rate_remaining)} of ${counted(budget.rate_limit, 'request')} were left.`,
  })
}

function timelineChart({ runs, freshness }: DashboardData, charts: Charts): Markup {
  const rows = toRows(runs, freshness.read_at, (run) => [run.mode, run.status, secondsCell(run.duration_seconds)])
  return figure('runs', 'Runs', RUN_STATUSES, charts.timeline, {
    table: tableOf(['Started', 'Mode', 'Status', 'Took'], rows),
    empty: 'No run yet.',
    isWide: true,
  })
}

/** Longer errors of URLs are cut off, in characters. A CSV file has all of them. */
const MAX_ERROR = 160

/** What the results of batches say, where they are kept: what they cost, and which hosts fail. */
function resultsCards({ days, results, freshness }: DashboardData, charts: Charts): Markup | null {
  if (results === undefined) return null
  const byDay = new Map(results.credits.map((row) => [row.day, row]))
  const creditRows = days.toReversed().map(({ day }) => {
    const { credits = 0, urls = 0, jobs = 0 } = byDay.get(day) ?? {}
    return [day, creditsCell(credits), countCell(urls), countCell(jobs)]
  })
  const hostRows = timedRows(
    results.failingHosts,
    (row) => row.last_seen_at,
    freshness.read_at,
    ({ host, error, urls }, seen) => {
      const words = error ?? 'no error given'
      const isCut = words.length > MAX_ERROR
      const shown = isCut ? html`<span title="${words}">${words.slice(0, MAX_ERROR)}…</span>` : words
      return [longCell(host ?? 'no host'), { shown, value: words, isLong: true }, countCell(urls), seen]
    },
  )
  const hosts = tableOf(['Host', 'Error', 'URLs', 'Last seen'], hostRows, {
    empty: 'No URL failed in the last 30 days, as far as results have been read.',
    isStacked: true,
  })
  const count = countOf(results.failingHosts[0]?.rows_in_all ?? 0, results.failingHosts.length)
  return html`${figure(
    'credits',
    'Credits a day',
    [{ title: 'Credits of the jobs created on a day', color: 'p95' }],
    charts.credits,
    {
      table: tableOf(['Day', 'Credits', 'URLs', 'Batches read'], creditRows),
      empty: 'No credits in this period, as far as results have been read.',
    },
  )}${card('failing_hosts', 'Failing hosts, 30 days', count, hosts, { isFilling: true })}`
}

function creditsCell(credits: number): Cell {
  return { shown: toCount(Math.round(credits * 100) / 100), value: credits }
}

type Run = DashboardData['runs'][number]

/** A row for each run: its start and these cells. */
function toRows(runs: readonly Run[], now: Date, cells: (run: Run) => Cell[]): Cell[][] {
  return timedRows(
    runs,
    (run) => run.started_at,
    now,
    (run, started) => [started, ...cells(run)],
  )
}

/** The lists of the account, laid out so that a short one stands beside short ones. */
function lists(data: DashboardData): Markup {
  const short = html`${jobsTable(data, 'open')}${jobsTable(data, 'stuck')}${rejectionsTable(data)}`
  const isQuiet = [data.open, data.stuck, data.rejections].every((rows) => rows.length === 0)
  if (isQuiet && data.changes.length > 0) return html`<div class="row">${short}</div>${changesTable(data)}`
  if (isQuiet) return html`<div class="row">${short}${changesTable(data)}</div>`
  return html`<div class="columns"><div class="short">${short}</div>${changesTable(data)}</div>`
}

/** The name of the query that a number comes from. */
type SqlLink = keyof typeof QUERIES | keyof typeof RESULT_QUERIES

/** The open or the stuck jobs, with their progress. */
function jobsTable(data: DashboardData, which: 'open' | 'stuck'): Markup {
  const jobs = data[which]
  const rows = jobs.map((job) => [
    uuidCell(job.uuid),
    progressCell(job),
    longCell(html`<span class="clamp" title="${job.status}">${job.status}</span>`),
    ageCell(which === 'open' ? job.age_seconds : job.seconds_without_progress),
  ])
  const headings = ['Job', 'URLs finished', 'Status', which === 'open' ? 'Age' : 'Idle']
  return card(
    which,
    which === 'open' ? 'Open jobs' : 'Stuck jobs',
    countOf(jobs[0]?.jobs_in_all ?? 0, jobs.length),
    tableOf(headings, rows, { empty: which === 'open' ? 'No open jobs.' : 'No stuck jobs.' }),
  )
}

/** The latest changes of status. */
function changesTable({ changes, freshness }: DashboardData): Markup {
  const rows = timedRows(
    changes,
    (change) => change.changed_at,
    freshness.read_at,
    (change, seen) => [
      uuidCell(change.uuid),
      longCell(
        html`${change.from_status} → ${change.to_status}${change.is_reopened ? html` <span class="badge partly">reopened</span>` : null}`,
      ),
      ...[seen, secondsCell(change.seconds_in_from_status)],
    ],
  )
  const table = tableOf(['Job', 'Status', 'Seen', 'After'], rows, { empty: 'No changes of status in this period.' })
  return card('changes', 'Latest changes', '', table)
}

/** The items that could not be stored, with the reason. */
function rejectionsTable({ rejections, freshness }: DashboardData): Markup {
  const rows = timedRows(
    rejections,
    (item) => item.last_rejected_at,
    freshness.read_at,
    (item, seen) => [
      item.uuid === null ? 'no uuid' : uuidCell(item.uuid),
      longCell(item.copies > 1 ? `${item.reason} (${toCount(item.copies)} copies)` : item.reason),
      seen,
    ],
  )
  const count = countOf(rejections[0]?.items_in_all ?? 0, rejections.length)
  const table = tableOf(['Item', 'Reason', 'Last seen'], rows, { empty: 'No rejected items.' })
  return card('rejections', 'Rejections', count, table)
}

/** The last runs. */
function runsTable({ runs, freshness }: DashboardData): Markup {
  const rows = toRows(runs.slice(0, 15), freshness.read_at, (run) => [
    longCell(html`${statusBadge(run.status)}${run.reason === null ? null : html` ${run.reason}`}`),
    run.mode,
    secondsCell(run.duration_seconds),
    ...[run.requests, run.jobs_read, run.inserted, run.updated, run.removed].map(countCell),
  ])
  const headings = ['Started', 'Status', 'Mode', 'Took', 'Requests', 'Read', 'New', 'Changed', 'Removed']
  return card('runs', 'Last runs', '', tableOf(headings, rows, { empty: 'No run yet.', isStacked: true }))
}

function countOf(all: number, shown: number): string {
  return all > shown ? `${toCount(all)}, ${shown} shown` : toCount(all)
}
