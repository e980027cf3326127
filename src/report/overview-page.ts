import { counted } from '../logging/printable.js'
import type { OverviewData } from './dashboard-data.js'
import type { FleetReport, WorkerReport } from './fleet.js'
import { NO_WORKERS, toLetterSentence, toQueueSentence, toWorkerName, WORKER_HEADINGS } from './fleet-text.js'
import { toCount, toDuration, toInstant } from './format.js'
import { type Freshness, toFreshness } from './freshness.js'
import { html, type Markup } from './html.js'
import { toProgressText } from './load-progress.js'
import {
  type Cell,
  card,
  countCell,
  longCell,
  type Surroundings,
  statusBadge,
  tableOf,
  toPage,
  unbroken,
} from './page-parts.js'

type Row = OverviewData['accounts'][number]

/** An account of the overview; `row` is null for one that is configured and has no run yet. */
interface Entry {
  readonly account: string
  readonly row: Row | null
  readonly tone: Freshness['tone']
}

const TONES: readonly Freshness['tone'][] = ['bad', 'warning', 'good']

/**
 * Composes the page of all accounts, those that need attention first.
 *
 * @param configured accounts of the configuration: those without a run are shown too
 */
export function toOverviewPage(data: OverviewData, configured: readonly string[], surroundings: Surroundings): string {
  const stored = new Set(data.accounts.map(({ account }) => account))
  const entries = [
    ...data.accounts.map((row) => ({ account: row.account, row, tone: toneOf(row) })),
    ...configured
      .filter((account) => !stored.has(account))
      .map((account) => ({ account, row: null, tone: 'warning' as const })),
  ].sort((a, b) => TONES.indexOf(a.tone) - TONES.indexOf(b.tone))
  const sections = html`${banner(entries)}${accountsTable(entries, data)}${data.fleet === null ? null : fleetCards(data.fleet)}`
  return toPage(surroundings, { title: 'All accounts', sections, sql: data.sql, readAt: data.readAt })
}

function toneOf(row: Row): Freshness['tone'] {
  const { tone } = toFreshness({ account: row.account, freshness: row, budget: null, alerts: [], progress: null })
  return tone === 'good' && row.alerts !== null ? 'warning' : tone
}

function banner(entries: readonly Entry[]): Markup {
  const troubled = entries.filter(({ tone }) => tone !== 'good')
  const alarmed = entries.filter(({ row }) => row !== null && row.alerts !== null)
  const jobs = entries.reduce((sum, { row }) => sum + (row?.jobs ?? 0), 0)
  const accounts = counted(entries.length, 'account')
  const headline =
    entries.length === 0
      ? 'No account has run yet'
      : troubled.length === 0
        ? `${accounts}, all complete and fresh`
        : `${toCount(troubled.length)} of ${accounts} ${troubled.length === 1 ? 'needs' : 'need'} attention`
  const alerts = alarmed.length === 0 ? '' : ` Alerts fire for ${counted(alarmed.length, 'account')}.`
  const tone =
    entries.length === 0 ? 'warning' : (TONES.find((t) => entries.some((entry) => entry.tone === t)) ?? 'good')
  return html`<section class="freshness ${tone}" aria-label="Freshness"><h1>${headline}</h1><p>${counted(jobs, 'job')} stored.${alerts}</p></section>
`
}

const HEADINGS = ['Account', 'Freshness', 'Stored / listed', 'Open', 'Stuck', 'Rejections', 'Alerts', 'Last run']

function accountsTable(entries: readonly Entry[], { readAt }: OverviewData): Markup {
  const hasResults = entries.some(({ row }) => row !== null && row.results_due !== null)
  const rows = entries.map(({ account, row, tone }) => [
    longCell(html`<a href="/?${new URLSearchParams({ account }).toString()}">${account}</a>`),
    row === null ? html`<span class="badge partly">no run yet</span>` : freshnessCell(row, tone),
    row === null ? '–' : stockCell(row),
    ...(row === null
      ? ['–', '–', '–']
      : [countCell(row.open_jobs), alarming(row.stuck_jobs), alarming(row.open_rejections ?? 0)]),
    ...(hasResults ? [row === null || row.results_due === null ? '–' : countCell(row.results_due)] : []),
    row === null || row.alerts === null ? '0' : longCell(html`<strong class="warning-text">${row.alerts}</strong>`),
    row === null ? '–' : lastRunCell(row, readAt),
  ])
  const headings = HEADINGS.flatMap((heading) =>
    hasResults && heading === 'Alerts' ? ['Results due', heading] : [heading],
  )
  return card('accounts', 'Accounts', toCount(entries.length), tableOf(headings, rows, { isStacked: true }))
}

const BADGES = { good: ['succeeded', 'fresh'], warning: ['partly', 'warning'], bad: ['failed', 'failing'] } as const

function freshnessCell({ complete_as_of: completeAsOf, lag_seconds: lag, progress }: Row, tone: Entry['tone']): Cell {
  const [color, word] = BADGES[tone]
  const rest = progress === null ? '' : `: ${toProgressText(progress)}`
  const age = lag === null ? `not complete yet${rest}` : unbroken(`complete ${toDuration(Math.floor(lag))} ago`)
  const shown = html`<span class="badge ${color}">${word}</span> ${age}`
  return { shown, value: completeAsOf?.toISOString() ?? age, isLong: true }
}

/** The totals of the last verdict; before the first one the stored jobs alone. */
function stockCell({ jobs, listed_jobs: judged, stored_jobs: stored, progress }: Row): string {
  const listed = judged ?? progress?.listedJobs ?? null
  return `${toCount(stored ?? jobs)} / ${listed === null ? '?' : toCount(listed)}`
}

function alarming(count: number): Cell {
  if (count === 0) return countCell(0)
  return { shown: html`<strong class="warning-text">${toCount(count)}</strong>`, value: count }
}

function lastRunCell({ status, reason, started_at: startedAt }: Row, readAt: Date): Cell {
  if (status === null || startedAt === null) return '–'
  const age = toDuration(Math.max(0, Math.floor((readAt.getTime() - startedAt.getTime()) / 1000)))
  const started = html`<span class="nowrap">started ${age} ago</span>`
  return longCell(html`${statusBadge(status)} ${reason === null ? null : `${reason}, `}${started}`)
}

function fleetCards(fleet: FleetReport): Markup {
  const letters = fleet.deadLetters.map((letter) => html`<li>${toLetterSentence(letter)}</li>`)
  const body = html`<p class="note">${toQueueSentence(fleet)}</p>${letters.length === 0 ? null : html`<ul class="letters">${letters}</ul>`}${tableOf(
    WORKER_HEADINGS,
    fleet.workers.map(workerCells),
    { empty: NO_WORKERS, isStacked: true },
  )}`
  return card(null, 'Fleet and queue', toCount(fleet.workers.length), body)
}

function workerCells(worker: WorkerReport): Cell[] {
  const { budget, isAlive, pausedUntil, silentSeconds } = worker
  const left = budget === null ? '–' : `${budget.remaining ?? '?'} of ${toCount(budget.limit)}`
  const pause = isAlive && pausedUntil !== null ? `, waits until ${toInstant(pausedUntil)}` : ''
  return [
    longCell(toWorkerName(worker)),
    worker.role,
    worker.role === 'scheduler' || !isAlive ? '–' : `${worker.running} of ${worker.runsInParallel}`,
    `${left}${pause}`,
    isAlive
      ? `${toDuration(silentSeconds)} ago`
      : html`<span class="badge failed">gone</span> ${toDuration(silentSeconds)} ago`,
  ]
}
