import type { DashboardData } from './dashboard-data.js'
import type { QUESTIONS } from './dashboard-queries.js'
import { toCount, toDuration, toPercent, toRough, toShortTime } from './format.js'
import { html, type Markup } from './html.js'

/** The question behind a number. */
export type SqlLink = keyof typeof QUESTIONS

type Cell = string | Markup

/** A table whose first column names the rows. Columns of numbers are set right. */
export function tableOf(headings: readonly string[], rows: readonly (readonly Cell[])[]): Markup {
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

/** Jobs that have not ended, with their progress. */
export function jobsTable(data: DashboardData, which: 'open' | 'stuck'): Markup {
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

/** What changed last. */
export function changesTable({ changes, freshness }: DashboardData): Markup {
  const rows = changes.map((change) => [
    uuid(change.uuid),
    html`${change.from_status} → ${change.to_status}${change.is_reopened ? html` <span class="badge partly">reopened</span>` : null}`,
    nowrap(toShortTime(change.changed_at, freshness.read_at)),
    nowrap(toDuration(change.seconds_in_from_status)),
  ])
  return card('changes', 'Latest changes', '', tableOf(['Job', 'Status', 'Seen', 'After'], rows))
}

/** What could not be stored, and why. */
export function rejectionsTable({ rejections, freshness }: DashboardData): Markup {
  const rows = rejections.map((item) => [
    item.uuid === null ? 'no uuid' : uuid(item.uuid),
    item.copies > 1 ? `${item.reason} (${item.copies} copies)` : item.reason,
    nowrap(toShortTime(item.last_rejected_at, freshness.read_at)),
  ])
  const count = countOf(rejections[0]?.items_in_all ?? 0, rejections.length)
  return card('rejections', 'Rejections', count, tableOf(['Item', 'Reason', 'Last seen'], rows))
}

/** The last runs. */
export function runsTable({ runs, freshness }: DashboardData): Markup {
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

/** The first eight letters are enough to tell jobs apart; the rest is hidden from the eye only, and copied with them. */
function uuid(value: string): Markup {
  return html`<code title="${value}">${value.slice(0, 8)}<span class="hidden">${value.slice(8)}</span></code>`
}

function toAge(seconds: number | null): string {
  return seconds === null ? '' : toRough(seconds)
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
