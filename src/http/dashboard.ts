import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Logger } from '../logging/logger.js'
import { BROWSER_SCRIPT } from '../report/browser-script.js'
import type { DashboardData, DashboardReads, Filters, JobSearch } from '../report/dashboard-data.js'
import { html, type Markup } from '../report/html.js'
import { type PageMessage, toMessagePage, toPageMessage } from '../report/message-page.js'
import { STYLESHEET } from '../report/stylesheet.js'
import type { Refusal } from './access.js'
import { createSharedReads, TooManyQuestionsError } from './shared-reads.js'

export interface DashboardOptions {
  readonly log: Logger
  /** The account that is shown if the URL names none and only one is configured. */
  readonly account: string
  /** Names of the accounts that are configured now. Others are shown only if the database has them. */
  readonly accounts: () => readonly string[]
  readonly reads: DashboardReads
}

/** Accounts that the page of an unknown account lists at most. */
const MAX_NAMES = 20

/** The page reloads at this interval, in seconds. */
const REFRESH_SECONDS = 30

const CONTENT_SOURCES = {
  ...{ 'style-src': "'self'", 'img-src': "'self'", 'form-action': "'self'" },
  ...{ 'script-src': "'self'", 'connect-src': "'self'" },
}

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#2a9d7f"/><path d="M4 11V8m4 3V5m4 6V7" stroke="#fff" stroke-width="2" stroke-linecap="round"/></svg>`

/** The routes of pages: whoever is refused one gets a page that says why. */
export const DASHBOARD_PAGES: ReadonlySet<string> = new Set(['/', '/overview', '/jobs'])

/** What a page shows. Readers of the same view share its page. */
type View = { readonly isRefreshing: boolean } & (
  | { readonly page: 'account'; readonly filters: Filters }
  | { readonly page: 'overview' }
  | { readonly page: 'jobs'; readonly search: JobSearch }
)

interface Answer {
  readonly code: number
  readonly page: string
}

/**
 * Serves the page of all accounts at `/overview`, that of one account at `/?account=`, and that of its jobs at `/jobs`, with
 * stylesheet, script and icon. Without a name `/` is the page of all accounts if several are configured, else that of the account.
 */
export function addDashboard(app: FastifyInstance, { log, account, accounts, reads }: DashboardOptions): void {
  const drawShared = createSharedReads((view: View) => {
    switch (view.page) {
      case 'account':
        return drawAccount(view.filters, view.isRefreshing)
      case 'overview':
        return drawOverview(view.isRefreshing)
      case 'jobs':
        return drawJobs(view.search)
    }
  })

  async function drawOverview(isRefreshing: boolean): Promise<Answer> {
    const [data, { toOverviewPage }] = await Promise.all([reads.overview(), import('../report/overview-page.js')])
    const controls = html`<nav aria-label="Pages"><a href="/overview" aria-current="page">All accounts</a></nav>${refreshLink('/overview', {}, isRefreshing)}`
    return { code: 200, page: toOverviewPage(data, accounts(), { head: toHead(isRefreshing), controls }) }
  }

  async function drawAccount(filters: Filters, isRefreshing: boolean): Promise<Answer> {
    // Loading the chart library takes a third of a second and 45 MB, and most processes never need it. The first page
    // loads it while the database reads.
    const [data, { toDashboardPage }] = await Promise.all([reads.account(filters), import('../report/page.js')])
    if (!data.isStored && !accounts().includes(filters.account)) return { code: 404, page: toUnknown(data, accounts()) }
    const nav = toNav(filters.account, 'account', data.accounts)
    const controls = html`${nav}${toControls(data, { isRefreshing })}`
    return { code: 200, page: toDashboardPage(data, { head: toHead(isRefreshing), controls }) }
  }

  async function drawJobs(search: JobSearch): Promise<Answer> {
    const [data, { toJobsPage }] = await Promise.all([reads.jobs(search), import('../report/jobs-page.js')])
    const controls = toNav(search.account, 'jobs', data.accounts)
    return { code: 200, page: toJobsPage(data, { head: toHead(false), controls }) }
  }

  function toNav(shown: string, page: 'account' | 'jobs', stored: readonly string[]): Markup {
    const query = new URLSearchParams({ account: shown }).toString()
    const current = (name: string) => (name === page ? html` aria-current="page"` : null)
    const hasOthers = new Set([...accounts(), ...stored]).size > 1
    return html`<nav aria-label="Pages">${hasOthers ? html`<a href="/overview">All accounts</a>` : null}<a href="/?${query}"${current('account')}>Account</a><a href="/jobs?${query}"${current('jobs')}>Jobs</a></nav>`
  }

  async function answer(reply: FastifyReply, view: View): Promise<FastifyReply> {
    reply.type('text/html; charset=utf-8')
    try {
      const { code, page } = await drawShared(view)
      return reply.code(code).send(page)
    } catch (err) {
      const { code, title, text } = toErrorMessage(err)
      if (code === 500) log.error({ err }, 'dashboard could not be built')
      else log.warn({ err }, 'dashboard data could not be read')
      const outlook = view.isRefreshing ? ' This page reloads by itself.' : ''
      return reply.code(code).send(toMessagePage(toHead(view.isRefreshing), title, text + outlook))
    }
  }

  const config = { contentSources: CONTENT_SOURCES }

  app.get<{ Querystring: Query }>('/', { config }, async ({ query }, reply) => {
    const isAboutAll = textOf(query.account) === null && accounts().length > 1
    const isRefreshing = query.refresh !== 'off'
    const view: View = isAboutAll
      ? { page: 'overview', isRefreshing }
      : { page: 'account', filters: filtersOf(query, account), isRefreshing }
    return answer(reply, view)
  })
  app.get<{ Querystring: Query }>('/overview', { config }, async ({ query }, reply) =>
    answer(reply, { page: 'overview', isRefreshing: query.refresh !== 'off' }),
  )
  app.get<{ Querystring: Query }>('/jobs', { config }, async ({ query }, reply) =>
    answer(reply, { page: 'jobs', search: searchOf(query, account), isRefreshing: false }),
  )
  app.get('/dashboard.css', async (_request, reply) => reply.type('text/css; charset=utf-8').send(STYLESHEET))
  app.get('/dashboard.js', async (_request, reply) => reply.type('text/javascript; charset=utf-8').send(BROWSER_SCRIPT))
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
    isRefreshing ? html`<noscript><meta http-equiv="refresh" content="${REFRESH_SECONDS}"></noscript>` : null
  }<script src="/dashboard.js" defer data-refresh="${isRefreshing ? REFRESH_SECONDS : 0}"></script>`
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

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Reads the search of a URL. An invalid position is that of the newest jobs. */
function searchOf(query: Query, account: string): JobSearch {
  const position = (['before', 'after'] as const)
    .map((direction) => ({ uuid: textOf(query[direction]) ?? '', direction }))
    .find(({ uuid }) => UUID.test(uuid))
  return {
    account: textOf(query.account) ?? account,
    uuid: textOf(query.uuid)?.trim().slice(0, 64) ?? '',
    status: textOf(query.status),
    position: position ?? null,
  }
}

/** The text of a parameter in a form that Postgres accepts; null without one. */
function textOf(value: Query[string]): string | null {
  const last = typeof value === 'string' ? value : (value?.at(-1) ?? '')
  return last === '' || last.includes('\0') ? null : last.toWellFormed()
}

/** The form of the filters, and the link that starts or stops the refresh. */
function toControls(
  { filters, accounts, channels }: DashboardData,
  { isRefreshing }: { readonly isRefreshing: boolean },
): Markup {
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
  const query = {
    account: filters.account,
    ...(filters.channel === null ? {} : { channel: filters.channel }),
    days: String(filters.days),
  }
  const kept = isRefreshing ? null : html`<input type="hidden" name="refresh" value="off">`
  return html`<form method="get" action="/" aria-label="Filters">${options}${kept}<button>Show</button>
${refreshLink('/', query, isRefreshing)}</form>`
}

function refreshLink(path: string, query: Readonly<Record<string, string>>, isRefreshing: boolean): Markup {
  const parameters = new URLSearchParams({ ...query, ...(isRefreshing ? { refresh: 'off' } : {}) }).toString()
  return html`<a class="refresh" href="${path}${parameters === '' ? '' : `?${parameters}`}">${isRefreshing ? 'Stop refreshing' : 'Refresh automatically'}</a>`
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
