import { createHash } from 'node:crypto'
import { type Charts, drawCharts, OUTCOMES, RUN_STATUSES } from './charts.js'
import type { DashboardData } from './dashboard-data.js'
import type { QUERIES } from './dashboard-queries.js'
import { toCount, toDuration, toMinute, toPercent, toRoughDuration, toShortTime } from './format.js'
import { toFreshness } from './freshness.js'
import { html, type Markup, toDocument, trusted } from './html.js'
import { STYLESHEET } from './stylesheet.js'

/** The parts in which the live page and the file differ. */
export interface Surroundings {
  readonly head: Markup
  /** The form of the filters; null in a file. */
  readonly controls: Markup | null
}

/** Composes the dashboard. The page has no script and no style attribute, and every text from outside is escaped. */
export function toDashboardPage(data: DashboardData, { head, controls }: Surroundings): string {
  const charts = drawCharts(data)
  return toDocument(
    head,
    html`<header><p class="brand">spidra-sync</p>${controls ?? scope(data)}</header>
<main id="main">${freshnessBlock(data)}${tiles(data)}
<div class="grid">${jobsChart(data, charts)}${successChart(data, charts)}${durationChart(data, charts)}${requestChart(data, charts)}</div>
${timelineChart(data, charts)}
<div class="grid">${jobsTable(data, 'open')}${jobsTable(data, 'stuck')}${changesTable(data)}${rejectionsTable(data)}</div>
${runsTable(data)}${sqlBlock(data)}</main>
<footer><p>Read ${toMinute(data.freshness.read_at)} UTC, in one snapshot of the database. All days and times are UTC.</p></footer>`,
  )
}

/** Composes the dashboard as one file that loads nothing: its policy allows its own style only. */
export function toReportFile(data: DashboardData): string {
  const hash = createHash('sha256').update(STYLESHEET).digest('base64')
  const policy = `default-src 'none'; style-src 'sha256-${hash}'; img-src data:; base-uri 'none'; form-action 'none'`
  const head = html`<meta http-equiv="content-security-policy" content="${policy}"><link rel="icon" href="data:,"><style>${trusted(STYLESHEET)}</style>`
  return toDashboardPage(data, { head, controls: null })
}

function scope({ filters }: DashboardData): Markup {
  const channel = filters.channel === null ? 'all channels' : `channel ${filters.channel}`
  return html`<p class="scope">Account ${filters.account}, ${channel}, ${filters.days} days</p>`
}

function freshnessBlock(data: DashboardData): Markup {
  const { tone, headline, alerts, details, progress } = toFreshness({ ...data, account: data.filters.account })
  const bar = progress === null ? null : html`<progress max="1" value="${progress}">${toPercent(progress)}</progress>`
  return html`<section class="freshness ${tone}" aria-label="Freshness"><h1><a href="#sql-freshness">${headline}</a></h1>${bar}${alerts.map((alert) => html`<p class="alert"><a href="#sql-alerts">${alert}</a></p>`)}${details.map((detail) => html`<p>${detail}</p>`)}</section>
`
}

function tiles({ days, total, totalDuration, durations, filters, freshness, minutes }: DashboardData): Markup {
  const today = freshness.read_at.toISOString().slice(0, 10)
  const now = days.find(({ day }) => day === today)
  const duration = durations.find(({ day }) => day === today)
  const period = `${filters.days} days`
  const about = minutes === 1 ? '' : '≈ '
  const tile = (sql: SqlLink, name: string, label: string, value: string, below: string) =>
    html`<div class="tile"><dt>${label}</dt><dd><a href="#sql-${sql}" data-number="${name}">${value}</a><span>${below}</span></dd></div>`
  return html`<dl class="tiles">
${tile('days', 'jobs-today', 'Jobs today', toCount(now?.jobs ?? 0), `${toCount(now?.open_jobs ?? 0)} of them open`)}
${tile('days', 'jobs', `Jobs in ${period}`, toCount(total?.jobs ?? 0), `${toCount(total?.failed_jobs ?? 0)} failed`)}
${tile('days', 'urls-today', 'URLs today', toCount(now?.urls ?? 0), `${toCount(now?.completed_urls ?? 0)} completed`)}
${tile('days', 'urls', `URLs in ${period}`, toCount(total?.urls ?? 0), `${toCount(total?.completed_urls ?? 0)} completed`)}
${tile('days', 'success', 'URL success rate', toPercent(total?.success_rate ?? null), `today ${toPercent(now?.success_rate ?? null)}`)}
${tile('durations', 'p95', 'p95 duration', `${about}${toDuration(totalDuration?.p95_seconds ?? null)}`, `today ${about}${toDuration(duration?.p95_seconds ?? null)}`)}
</dl>
`
}

function figure(
  sql: SqlLink,
  title: string,
  legend: readonly { title: string; color: string }[],
  chart: Markup,
  table: Markup,
  note = '',
): Markup {
  return html`<section class="card"><h2>${title}</h2><figure>
<figcaption><ul class="legend">${legend.map((item) => html`<li class="${item.color}">${item.title}</li>`)}</ul>${note === '' ? null : html`<p class="note">${note}</p>`}</figcaption>
${chart}</figure><details><summary>Table: ${title.toLowerCase()}</summary>${table}</details><p class="source"><a href="#sql-${sql}">SQL<span class="hidden"> of ${title}</span></a></p></section>
`
}

function jobsChart({ days }: DashboardData, charts: Charts): Markup {
  const rows = days
    .toReversed()
    .map((row) => [row.day, toCount(row.jobs), ...OUTCOMES.map(({ column }) => toCount(row[column]))])
  return figure(
    'days',
    'Jobs a day',
    OUTCOMES,
    charts.jobs,
    tableOf(['Day', 'Jobs', ...OUTCOMES.map(({ title }) => title)], rows),
  )
}

function successChart({ days }: DashboardData, charts: Charts): Markup {
  const rows = days
    .toReversed()
    .map((row) => [row.day, toPercent(row.success_rate), toCount(row.completed_urls), toCount(row.failed_urls)])
  const legend = [{ title: 'URLs that succeeded, of those finished', color: 'succeeded' }]
  return figure(
    'days',
    'Success rate',
    legend,
    charts.success,
    tableOf(['Day', 'Success rate', 'Completed URLs', 'Failed URLs'], rows),
  )
}

function durationChart({ durations, minutes, totalDuration, total }: DashboardData, charts: Charts): Markup {
  const rows = durations
    .toReversed()
    .map((row) => [row.day ?? '', toDuration(row.p50_seconds), toDuration(row.p95_seconds), toCount(row.finished_jobs)])
  const legend = [
    { title: '95th percentile', color: 'p95' },
    { title: 'Median', color: 'p50' },
  ]
  const part = `Estimated from the jobs created in one minute of every ${minutes}: ${toCount(totalDuration?.finished_jobs ?? 0)} of ${toCount(total?.jobs ?? 0)} jobs. "spidra-sync report" reads all jobs.`
  return figure(
    'durations',
    'Duration',
    legend,
    charts.durations,
    tableOf(['Day', 'Median', '95th percentile', 'Jobs measured'], rows),
    minutes === 1 ? '' : part,
  )
}

function requestChart({ runs, budget }: DashboardData, charts: Charts): Markup {
  const rows = runs
    .slice(0, 50)
    .map((run) => [
      toMinute(run.started_at),
      toCount(run.requests),
      toCount(run.retries),
      toDuration(run.waited_seconds),
    ])
  const legend = [
    { title: 'Requests', color: 'open' },
    { title: 'Retries', color: 'partly' },
  ]
  const left =
    budget?.rate_limit == null || budget.rate_remaining === null
      ? ''
      : `At the last answer ${toCount(budget.rate_remaining)} of ${toCount(budget.rate_limit)} requests were left.`
  return figure(
    'runs',
    'Requests a run',
    legend,
    charts.requests,
    tableOf(['Run', 'Requests', 'Retries', 'Waited'], rows),
    left,
  )
}

function timelineChart({ runs }: DashboardData, charts: Charts): Markup {
  const rows = runs
    .slice(0, 50)
    .map((run) => [toMinute(run.started_at), run.mode, run.status, toDuration(run.duration_seconds)])
  return figure('runs', 'Runs', RUN_STATUSES, charts.timeline, tableOf(['Started', 'Mode', 'Status', 'Took'], rows))
}

function sqlBlock({ sql }: DashboardData): Markup {
  return html`<section class="card sql" aria-labelledby="sql"><h2 id="sql">SQL behind the numbers</h2>
<p class="note">The queries of this page, ready for psql. They run for every role that may read the views, such as one of "spidra-sync grant-reader".</p>
${sql.map(
  ({ name, title, text }) => html`<h3 id="sql-${name}">${title}</h3><pre tabindex="0"><code>${text}</code></pre>
`,
)}</section>`
}

/** The name of the query that a number comes from. */
type SqlLink = keyof typeof QUERIES

type Cell = string | Markup

/** A table whose first column names the rows. */
function tableOf(headings: readonly string[], rows: readonly (readonly Cell[])[]): Markup {
  if (rows.length === 0) return html`<p class="none">None.</p>`
  return html`<div class="scroll" tabindex="0" role="region" aria-label="${headings.join(', ')}"><table><thead><tr>${headings.map((heading) => html`<th scope="col">${heading}</th>`)}</tr></thead><tbody>
${rows.map(
  (
    row,
  ) => html`<tr>${row.map((cell, i) => (i === 0 ? html`<th scope="row">${cell}</th>` : html`<td>${cell}</td>`))}</tr>
`,
)}</tbody></table></div>`
}

function card(sql: SqlLink, title: string, count: string, body: Markup): Markup {
  return html`<section class="card"><h2>${title} <span class="count">${count}</span></h2>${body}<p class="source"><a href="#sql-${sql}">SQL<span class="hidden"> of ${title}</span></a></p></section>
`
}

/** The open or the stuck jobs, with their progress. */
function jobsTable(data: DashboardData, which: 'open' | 'stuck'): Markup {
  const jobs = data[which]
  const rows = jobs.map((job) => [
    uuid(job.uuid),
    html`<progress max="1" value="${job.progress ?? 0}" aria-label="Progress of ${job.uuid}">${toPercent(job.progress)}</progress> <span class="nowrap">${toCount(job.completed_count + job.failed_count)} / ${toCount(job.total_urls)}</span>`,
    html`<span class="clamp" title="${job.status}">${job.status}</span>`,
    nowrap(toAge(which === 'open' ? job.age_seconds : job.seconds_without_progress)),
  ])
  const headings = ['Job', 'URLs finished', 'Status', which === 'open' ? 'Age' : 'Idle']
  return card(
    which,
    which === 'open' ? 'Open jobs' : 'Stuck jobs',
    countOf(jobs[0]?.jobs_in_all ?? 0, jobs.length),
    tableOf(headings, rows),
  )
}

/** The latest changes of status. */
function changesTable({ changes, freshness }: DashboardData): Markup {
  const rows = changes.map((change) => [
    uuid(change.uuid),
    html`${change.from_status} → ${change.to_status}${change.is_reopened ? html` <span class="badge partly">reopened</span>` : null}`,
    nowrap(toShortTime(change.changed_at, freshness.read_at)),
    nowrap(toDuration(change.seconds_in_from_status)),
  ])
  return card('changes', 'Latest changes', '', tableOf(['Job', 'Status', 'Seen', 'After'], rows))
}

/** The items that could not be stored, with the reason. */
function rejectionsTable({ rejections, freshness }: DashboardData): Markup {
  const rows = rejections.map((item) => [
    item.uuid === null ? 'no uuid' : uuid(item.uuid),
    item.copies > 1 ? `${item.reason} (${item.copies} copies)` : item.reason,
    nowrap(toShortTime(item.last_rejected_at, freshness.read_at)),
  ])
  const count = countOf(rejections[0]?.items_in_all ?? 0, rejections.length)
  return card('rejections', 'Rejections', count, tableOf(['Item', 'Reason', 'Last seen'], rows))
}

/** The last runs. */
function runsTable({ runs, freshness }: DashboardData): Markup {
  const rows = runs
    .slice(0, 15)
    .map((run) => [
      toShortTime(run.started_at, freshness.read_at),
      html`<span class="badge ${statusColor(run.status)}">${run.status}</span>${run.reason === null ? null : html` ${run.reason}`}`,
      run.mode,
      nowrap(toDuration(run.duration_seconds)),
      toCount(run.requests),
      toCount(run.jobs_read),
      toCount(run.inserted),
      toCount(run.updated),
      toCount(run.removed),
    ])
  const headings = ['Started', 'Status', 'Mode', 'Took', 'Requests', 'Read', 'New', 'Changed', 'Removed']
  return card('runs', 'Last runs', '', tableOf(headings, rows))
}

function countOf(all: number, shown: number): string {
  return all > shown ? `${toCount(all)}, ${shown} shown` : toCount(all)
}

/** Shows eight characters of a uuid, which tell jobs apart; the rest is invisible, but it is copied with them. */
function uuid(value: string): Markup {
  return html`<code title="${value}">${value.slice(0, 8)}<span class="hidden">${value.slice(8)}</span></code>`
}

function toAge(seconds: number | null): string {
  return seconds === null ? '' : toRoughDuration(seconds)
}

function nowrap(text: string): Markup {
  return html`<span class="nowrap">${text}</span>`
}

function statusColor(status: string): string {
  switch (status) {
    case 'complete':
      return 'succeeded'
    case 'partial':
      return 'partly'
    case 'failed':
      return 'failed'
    case 'running':
      return 'open'
    default:
      return 'cancelled'
  }
}
