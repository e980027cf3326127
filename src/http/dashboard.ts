import type { FastifyInstance } from 'fastify'
import type { Logger } from '../logging/logger.js'
import type { DashboardData, Filters } from '../report/dashboard-data.js'
import { toMessagePage } from '../report/document.js'
import { html, type Markup } from '../report/html.js'
import { type Refusal, toRefusal } from '../report/refusal.js'
import { STYLESHEET } from '../report/stylesheet.js'
import { filtersOf, type Query, toControls } from './dashboard-filters.js'
import { createSharedReads, TooManyQuestionsError } from './shared-reads.js'

export interface DashboardOptions {
  readonly log: Logger
  /** The account that is shown unless the URL names another. */
  readonly account: string
  /** The configured ones as of now. Others are shown only where they are stored. */
  readonly accounts: () => readonly string[]
  readonly read: (filters: Filters) => Promise<DashboardData>
}

/** So many accounts are named where one is not known. */
const MAX_NAMES = 20

/** The page asks again so often, in seconds. */
const REFRESH_SECONDS = 30

const CONTENT_SOURCES = { 'style-src': "'self'", 'img-src': "'self'", 'form-action': "'self'" }

const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#2a9d7f"/><path d="M4 11V8m4 3V5m4 6V7" stroke="#fff" stroke-width="2" stroke-linecap="round"/></svg>`

interface View {
  readonly filters: Filters
  readonly isRefreshing: boolean
}

/** Serves the dashboard at `/`, with its stylesheet and icon. No script. */
export function addDashboard(app: FastifyInstance, { log, account, accounts, read }: DashboardOptions): void {
  const drawShared = createSharedReads(async ({ filters, isRefreshing }: View) => {
    // The chart library takes a third of a second and 45 MB to load, and most processes never need it. The first page
    // loads it while the database reads.
    const [data, { toPage }, { drawCharts }] = await Promise.all([
      read(filters),
      import('../report/page.js'),
      import('../report/charts.js'),
    ])
    if (!data.isStored && !accounts().includes(filters.account)) return { code: 404, page: toUnknown(data, accounts()) }
    const controls = toControls(data, { isRefreshing })
    return { code: 200, page: toPage(data, drawCharts(data), { head: toHead(isRefreshing), controls }) }
  })

  app.get<{ Querystring: Query }>('/', { config: { contentSources: CONTENT_SOURCES } }, async (request, reply) => {
    const isRefreshing = request.query.refresh !== 'off'
    reply.type('text/html; charset=utf-8')
    try {
      const { code, page } = await drawShared({ filters: filtersOf(request.query, account), isRefreshing })
      return reply.code(code).send(page)
    } catch (err) {
      const { code, title, words } = toAbsence(err)
      if (code === 500) log.error({ err }, 'dashboard could not be made')
      else log.warn({ err }, 'dashboard not readable')
      const outlook = isRefreshing ? ' This page asks again by itself.' : ''
      return reply.code(code).send(toMessagePage(toHead(isRefreshing), title, words + outlook))
    }
  })

  app.get('/dashboard.css', async (_request, reply) => reply.type('text/css; charset=utf-8').send(STYLESHEET))
  app.get('/favicon.svg', async (_request, reply) => reply.type('image/svg+xml').send(ICON))
}

/** Why there is no page. */
function toAbsence(error: unknown): Refusal {
  if (!(error instanceof TooManyQuestionsError)) return toRefusal(error)
  return { code: 503, title: 'Too many different pages are asked for at once', words: 'Others are being read first.' }
}

/** Another account's numbers in its place would be taken for its own. */
function toUnknown({ filters, accounts }: DashboardData, configured: readonly string[]): string {
  const known = [...new Set([...configured, ...accounts])].filter((name) => name !== filters.account).sort()
  const more = known.length > MAX_NAMES ? `, ${known.length - MAX_NAMES} more` : ''
  const words = `Known: ${known.slice(0, MAX_NAMES).join(', ')}${more}.`
  return toMessagePage(toHead(false), `There is no account “${filters.account}”`, words)
}

function toHead(isRefreshing: boolean): Markup {
  return html`<link rel="stylesheet" href="/dashboard.css"><link rel="icon" href="/favicon.svg">${
    isRefreshing ? html`<meta http-equiv="refresh" content="${REFRESH_SECONDS}">` : null
  }`
}
