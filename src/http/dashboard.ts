import type { FastifyInstance } from 'fastify'
import type { Logger } from '../logging/logger.js'
import type { DashboardData, Filters } from '../report/dashboard-data.js'
import { html, type Markup } from '../report/html.js'
import { type PageMessage, toMessagePage, toPageMessage } from '../report/message-page.js'
import { STYLESHEET } from '../report/stylesheet.js'
import type { Refusal } from './access.js'
import { createSharedReads, TooManyQuestionsError } from './shared-reads.js'

export interface DashboardOptions {
  readonly log: Logger
  /** The account that is shown unless the URL names another. */
  readonly account: string
  /** Names of the accounts that are configured now. Others are shown only if the database has them. */
  readonly accounts: () => readonly string[]
  readonly read: (filters: Filters) => Promise<DashboardData>
}

/** Accounts that the page of an unknown account lists at most. */
const MAX_NAMES = 20

/** The page reloads at this interval, in seconds. */
const REFRESH_SECONDS = 30

const CONTENT_SOURCES = { 'style-src': "'self'", 'img-src': "'self'", 'form-action': "'self'" }

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#2a9d7f"/><path d="M4 11V8m4 3V5m4 6V7" stroke="#fff" stroke-width="2" stroke-linecap="round"/></svg>`

interface View {
  readonly filters: Filters
  readonly isRefreshing: boolean
}

/** Serves the dashboard at `/`, with its stylesheet and icon, and without any script. */
export function addDashboard(app: FastifyInstance, { log, account, accounts, read }: DashboardOptions): void {
  const drawShared = createSharedReads(async ({ filters, isRefreshing }: View) => {
    // Loading the chart library takes a third of a second and 45 MB, and most processes never need it. The first page
    // loads it while the database reads.
    const [data, { toDashboardPage }] = await Promise.all([read(filters), import('../report/page.js')])
    if (!data.isStored && !accounts().includes(filters.account)) return { code: 404, page: toUnknown(data, accounts()) }
    const controls = toControls(data, { isRefreshing })
    return { code: 200, page: toDashboardPage(data, { head: toHead(isRefreshing), controls }) }
  })

  app.get<{ Querystring: Query }>('/', { config: { contentSources: CONTENT_SOURCES } }, async (request, reply) => {
    const isRefreshing = request.query.refresh !== 'off'
    reply.type('text/html; charset=utf-8')
    try {
      const { code, page } = await drawShared({ filters: filtersOf(request.query, account), isRefreshing })
      return reply.code(code).send(page)
    } catch (err) {
      const { code, title, text } = toErrorMessage(err)
      if (code === 500) log.error({ err }, 'dashboard could not be built')
      else log.warn({ err }, 'dashboard data could not be read')
      const outlook = isRefreshing ? ' This page reloads by itself.' : ''
      return reply.code(code).send(toMessagePage(toHead(isRefreshing), title, text + outlook))
    }
  })

  app.get('/dashboard.css', async (_request, reply) => reply.type('text/css; charset=utf-8').send(STYLESHEET))
  app.get('/favicon.svg', async (_request, reply) => reply.type('image/svg+xml').send(ICON))
}

/** The page that a browser gets in place of the dashboard. */
export function toRefusalPage({ title, message }: Refusal): string {
  return toMessagePage(toHead(false), title, message)
}

/** The message that replaces the dashboard after an error. */
function toErrorMessage(error: unknown): PageMessage {
  if (!(error instanceof TooManyQuestionsError)) return toPageMessage(error)
  return { code: 503, title: 'Too many different pages are requested at once', text: 'Other pages are read first.' }
}

/** The page of an unknown account. Showing another account instead would be misread. */
function toUnknown({ filters, accounts }: DashboardData, configured: readonly string[]): string {
  const known = [...new Set([...configured, ...accounts])].filter((name) => name !== filters.account).sort()
  const more = known.length > MAX_NAMES ? `, ${known.length - MAX_NAMES} more` : ''
  const text = `Known: ${known.slice(0, MAX_NAMES).join(', ')}${more}.`
  return toMessagePage(toHead(false), `There is no account “${filters.account}”`, text)
}

function toHead(isRefreshing: boolean): Markup {
  return html`<link rel="stylesheet" href="/dashboard.css"><link rel="icon" href="/favicon.svg">${
    isRefreshing ? html`<meta http-equiv="refresh" content="${REFRESH_SECONDS}">` : null
  }`
}

/** The query of the URL, unvalidated. A name that is given twice has a list. */
type Query = Readonly<Record<string, string | readonly string[] | undefined>>

const DEFAULT_DAYS = 30
const MAX_DAYS = 400
const PERIODS = [7, 30, 90]

/** Reads the filters of a URL. An invalid value is replaced by its default. Does not check that the account exists. */
function filtersOf(query: Query, account: string): Filters {
  const days = Number(textOf(query.days))
  const isPeriod = Number.isInteger(days) && days >= 1 && days <= MAX_DAYS
  return {
    account: textOf(query.account) ?? account,
    channel: textOf(query.channel),
    days: isPeriod ? days : DEFAULT_DAYS,
  }
}

/** The text of a parameter in a form that Postgres accepts; null without one. */
function textOf(value: Query[string]): string | null {
  const last = typeof value === 'string' ? value : (value?.at(-1) ?? '')
  return last === '' || last.includes('\0') ? null : last.toWellFormed()
}

/** The form of the filters, and the link that starts or stops the refresh. */
function toControls(data: DashboardData, { isRefreshing }: { readonly isRefreshing: boolean }): Markup {
  const { filters, accounts, channels } = data
  const periods = [...new Set([...PERIODS, filters.days])].sort((a, b) => a - b)
  const options = [
    select('account', 'Account', filters.account, accounts.map(toOption)),
    select('channel', 'Channel', filters.channel ?? '', [['', 'all'], ...channels.map(toOption)]),
    select(
      'days',
      'Period',
      String(filters.days),
      periods.map((days) => [String(days), days === 1 ? 'today' : `${days} days`]),
    ),
  ]
  const query = new URLSearchParams({
    account: filters.account,
    ...(filters.channel === null ? {} : { channel: filters.channel }),
    days: String(filters.days),
    ...(isRefreshing ? { refresh: 'off' } : {}),
  })
  const kept = isRefreshing ? null : html`<input type="hidden" name="refresh" value="off">`
  return html`<form method="get" action="/" aria-label="Filters">${options}${kept}<button>Show</button>
<a class="refresh" href="/?${query.toString()}">${isRefreshing ? 'Stop refreshing' : 'Refresh by itself'}</a></form>`
}

function select(name: string, label: string, chosen: string, options: readonly (readonly [string, string])[]): Markup {
  return html`<label>${label}<select name="${name}">${options.map(([value, text]) =>
    value === chosen
      ? html`<option value="${value}" selected>${text}</option>`
      : html`<option value="${value}">${text}</option>`,
  )}</select></label>`
}

function toOption(name: string): readonly [string, string] {
  return [name, name]
}
