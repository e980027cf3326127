import { RUN_STATUSES } from './chart-timeline.js'
import { type Charts, OUTCOMES } from './charts.js'
import type { DashboardData } from './dashboard-data.js'
import { toDocument } from './document.js'
import { toCount, toDuration, toMinute, toPercent } from './format.js'
import { toFreshness } from './freshness.js'
import { html, type Markup } from './html.js'
import { changesTable, jobsTable, rejectionsTable, runsTable, type SqlLink, tableOf } from './page-tables.js'

/** What stands around the body: the live page and the file differ in it only. */
export interface Surroundings {
  readonly head: Markup
  /** Form of the filters and links; null in a file. */
  readonly controls: Markup | null
}

/** The page. No script, no style attribute; every text of others is escaped. */
export function toPage(data: DashboardData, charts: Charts, { head, controls }: Surroundings): string {
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

function scope({ filters }: DashboardData): Markup {
  const channel = filters.channel === null ? 'all channels' : `channel ${filters.channel}`
  return html`<p class="scope">Account ${filters.account}, ${channel}, ${filters.days} days</p>`
}

function freshnessBlock(data: DashboardData): Markup {
  const { tone, headline, details, progress } = toFreshness(data)
  const bar = progress === null ? null : html`<progress max="1" value="${progress}">${toPercent(progress)}</progress>`
  return html`<section class="freshness ${tone}" aria-label="Freshness"><h1><a href="#sql-freshness">${headline}</a></h1>${bar}${details.map((detail) => html`<p>${detail}</p>`)}</section>
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
  const part = `Estimated from the jobs created in one minute of every ${minutes}: ${toCount(totalDuration?.finished_jobs ?? 0)} of ${toCount(total?.jobs ?? 0)} jobs. "spidra-sync report" reckons with all.`
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
<p class="note">What this page asked, ready for psql. Names beginning with spidra_reporting are open to readers; the others to the owner only.</p>
${sql.map(
  ({ name, title, text }) => html`<h3 id="sql-${name}">${title}</h3><pre tabindex="0"><code>${text}</code></pre>
`,
)}</section>`
}
