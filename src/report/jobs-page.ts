import { counted } from '../logging/printable.js'
import type { JobsData } from './dashboard-data.js'
import { html, type Markup } from './html.js'
import {
  countCell,
  longCell,
  progressCell,
  type Surroundings,
  secondsCell,
  sourceOf,
  tableOf,
  timedRows,
  toPage,
  uuidCell,
} from './page-parts.js'

/** The statuses that the API is known to have. */
const STATUSES = ['pending', 'running', 'completed', 'failed', 'cancelled']

/** Composes the page of single jobs: a form that searches, and one page of what it found, newest first. */
export function toJobsPage(data: JobsData, surroundings: Surroundings): string {
  const { search, jobs, readAt, sql } = data
  const rows = timedRows(
    jobs,
    (job) => job.created_at,
    readAt,
    (job, created) => [
      ...[uuidCell(job.uuid, false), longCell(job.status), progressCell(job), countCell(job.failed_count)],
      ...[longCell(job.scraping_channel ?? '–'), created, secondsCell(job.duration_seconds)],
    ],
  )
  const headings = ['Job', 'Status', 'URLs finished', 'Failed URLs', 'Channel', 'Created', 'Took']
  const table = tableOf(headings, rows, { empty: emptyWords(data), isStacked: true })
  const sections = html`<section class="card"><h1>Jobs of account ${search.account}</h1>${searchForm(data)}${table}${pager(data)}${sourceOf('jobs', 'jobs')}</section>`
  return toPage(surroundings, { title: `Jobs of ${search.account}`, sections, sql, readAt })
}

function searchForm({ search, accounts }: JobsData): Markup {
  const option = (value: string, text: string, chosen: string) =>
    value === chosen
      ? html`<option value="${value}" selected>${text}</option>`
      : html`<option value="${value}">${text}</option>`
  const statuses = [...new Set([...STATUSES, ...(search.status === null ? [] : [search.status])])]
  return html`<form method="get" action="/jobs" role="search">
<label>Account<select name="account">${accounts.map((name) => option(name, name, search.account))}</select></label>
<label>UUID<input type="search" name="uuid" value="${search.uuid}" placeholder="whole or its beginning" maxlength="64" spellcheck="false"></label>
<label>Status<select name="status">${option('', 'all', search.status ?? '')}${statuses.map((status) => option(status, status, search.status ?? ''))}</select></label>
<button>Search</button></form>`
}

function emptyWords({ search, isUuid }: JobsData): string {
  if (!isUuid) return `“${search.uuid}” is neither a UUID nor the beginning of one.`
  const removed = search.uuid === '' ? '' : ' A job that the API no longer lists is in the view removed_batch_jobs.'
  return search.position === null ? `No jobs match.${removed}` : 'No more jobs.'
}

/** Links to the pages before and after this one. */
function pager({ search, jobs, hasOlder, hasNewer }: JobsData): Markup | null {
  const link = (text: string, position: readonly [string, string | undefined] | null) => {
    const query = new URLSearchParams({
      account: search.account,
      ...(search.uuid === '' ? {} : { uuid: search.uuid }),
      ...(search.status === null ? {} : { status: search.status }),
      ...(position === null ? {} : { [position[0]]: position[1] ?? '' }),
    })
    return html`<a href="/jobs?${query.toString()}">${text}</a>`
  }
  if (jobs.length === 0 && search.position === null) return null
  return html`<nav class="pager" aria-label="Pages of jobs"><span>${counted(jobs.length, 'job')} on this page</span>${
    search.position === null ? null : link('Newest', null)
  }${hasNewer ? link('Newer', ['after', jobs[0]?.uuid]) : null}${hasOlder ? link('Older', ['before', jobs.at(-1)?.uuid]) : null}</nav>`
}
