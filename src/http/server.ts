import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import type { Config } from '../config/config.js'
import { ConfigError } from '../config/errors.js'
import { errorCodeOf } from '../logging/error-code.js'
import type { Logger } from '../logging/logger.js'
import type { StatusDocument } from '../report/status.js'
import { type AccessCheck, createAccessCheck, isDashboardClosed, type Refusal } from './access.js'
import { addDashboard, DASHBOARD_PAGES, type DashboardOptions, toRefusalPage } from './dashboard.js'
import type { Metrics } from './metrics.js'
import { addSecurityHeaders, securityHeaders } from './security-headers.js'
import { bound } from './shared-reads.js'

export interface HttpServerOptions {
  readonly config: Config['http']
  readonly log: Logger
  readonly metrics: Pick<Metrics, 'read' | 'contentType'>
  readonly readiness: () => Promise<Readiness>
  /** Reads the answer of `/api/status`. */
  readonly status: () => Promise<StatusDocument>
  /** Limits of the connections. Default `CONNECTION_LIMITS`. */
  readonly limits?: { readonly maxConnections: number; readonly idleMs: number }
  /** Default: no dashboard. */
  readonly dashboard?: Omit<DashboardOptions, 'log'>
}

/** A server that listens. */
export interface HttpServer {
  /** A URL that leads to it from this machine, with the real port where the configured one is 0. */
  readonly url: string
  /** Closes at once, and cuts off unfinished answers. */
  readonly close: () => Promise<void>
}

/**
 * Connections at a time, and how long one may be silent, in milliseconds. Without limits, connections that send nothing would use
 * up the files that a process may open, and runs could open none.
 */
const CONNECTION_LIMITS = { maxConnections: 64, idleMs: 30_000 }

/** Served to every client: orchestrators and many scrapers send no password, and these answers show no job. */
const PUBLIC_ROUTES: ReadonlySet<string | undefined> = new Set([
  ...['/healthz', '/readyz', '/metrics'],
  // The page of a refusal loads them.
  ...['/dashboard.css', '/dashboard.js', '/favicon.svg'],
])

/**
 * Serves probes, metrics, status and dashboard, and logs the address that is bound. Returns null with `HTTP_PORT=off`.
 *
 * @throws ConfigError naming the variable, when the server cannot listen on the address
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer | null> {
  const { host, port } = options.config
  const { maxConnections, idleMs } = options.limits ?? CONNECTION_LIMITS
  if (port === null) return null

  const app = Fastify({
    ...{ logger: false, trustProxy: false, forceCloseConnections: true, requestTimeout: 10_000 },
    ...{ connectionTimeout: idleMs, keepAliveTimeout: idleMs },
    // Hooks do not run for a path that cannot be decoded, and Fastify's own answer would quote the path.
    frameworkErrors: (_error, _request, reply) => void badRequest(reply.headers(securityHeaders()), 400),
  })
  app.server.maxConnections = maxConnections
  const onBlocked = (address: string) =>
    options.log.warn({ address }, 'too many wrong passwords, address blocked for a while')
  const refusalOf = createAccessCheck({ ...options.config, onBlocked })
  addHooks(app, options, refusalOf)
  addRoutes(app, options, refusalOf)
  if (options.dashboard) addDashboard(app, { log: options.log, ...options.dashboard })
  try {
    const url = await app.listen({ host, port })
    options.log.info({ url, address: boundAddress(app) }, 'http server listens')
    if (options.dashboard && isDashboardClosed(options.config)) {
      options.log.warn('the dashboard is closed: set DASHBOARD_PASSWORD, because other machines can reach this address')
    }
    return { url, close: () => app.close() }
  } catch (error) {
    await app.close()
    throw toConfigError(error, host, port)
  }
}

/** Where it listens, as in `0.0.0.0:8080` or `[::]:8080`. */
function boundAddress({ server }: FastifyInstance): string | null {
  const bound = server.address()
  if (bound === null || typeof bound === 'string') return bound
  return `${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`
}

function addRoutes(
  app: FastifyInstance,
  { log, metrics, readiness, status }: HttpServerOptions,
  refusalOf: AccessCheck,
): void {
  const checkReadiness = boundReadiness(readiness)

  app.get('/healthz', async () => ({ status: 'ok' }))

  app.get('/readyz', async (_request, reply) => {
    const checks = await checkReadiness()
    const isReady = Object.values(checks).every((check) => check.ok)
    return reply.code(isReady ? 200 : 503).send({ status: isReady ? 'ready' : 'not_ready', checks })
  })

  // Names of accounts are for those who may see the dashboard. A scraper that sends a wrong password is told so.
  app.get('/metrics', async ({ headers, ip }, reply) => {
    const refusal = refusalOf(headers, ip)
    if (refusal !== null && headers.authorization !== undefined) return refuse(reply, refusal)
    return reply.type(metrics.contentType).send(await metrics.read({ hasAccounts: refusal === null }))
  })

  app.get('/api/status', async (_request, reply) => {
    try {
      return await status()
    } catch (err) {
      log.warn({ err }, 'status could not be read')
      return sendError(reply, 503, 'unavailable', 'The status cannot be read now. See /readyz.')
    }
  })
}

function addHooks(app: FastifyInstance, { log }: HttpServerOptions, refusalOf: AccessCheck): void {
  addSecurityHeaders(app)

  app.addHook('onRequest', async (request, reply) => {
    // A path without a route has no pattern, so it is refused like the protected routes.
    if (PUBLIC_ROUTES.has(request.routeOptions.url)) return
    const refusal = refusalOf(request.headers, request.ip)
    if (refusal === null) return
    if (!DASHBOARD_PAGES.has(request.routeOptions.url ?? '')) return refuse(reply, refusal)
    reply.code(refusal.status).headers(refusal.headers).type('text/html; charset=utf-8')
    return reply.send(toRefusalPage(refusal))
  })

  app.addHook('onResponse', async (request, reply) => {
    const { method, routeOptions } = request
    log.debug({ method, route: routeOptions.url, status: reply.statusCode, ms: reply.elapsedTime }, 'request answered')
  })

  app.setNotFoundHandler((_request, reply) => sendError(reply, 404, 'not_found', 'This page does not exist.'))

  app.setErrorHandler((err: Error & { statusCode?: number }, _request, reply) => {
    const status = err.statusCode ?? 500
    if (status < 500) return badRequest(reply, status)
    log.error({ err }, 'request failed')
    return sendError(reply, 500, 'internal_error', 'The request failed. See the log for the reason.')
  })
}

function refuse(reply: FastifyReply, { status, error, message, headers }: Refusal): FastifyReply {
  return sendError(reply.headers(headers), status, error, message)
}

function badRequest(reply: FastifyReply, status: number): FastifyReply {
  return sendError(reply, status, 'bad_request', 'The request cannot be understood.')
}

function sendError(reply: FastifyReply, status: number, error: string, message: string): FastifyReply {
  return reply.code(status).send({ error, message })
}

function toConfigError(error: unknown, host: string, port: number): unknown {
  const code = errorCodeOf(error)
  const problemWith = (variable: string, problem: string) => new ConfigError([{ variable, problem }], { cause: error })
  switch (code) {
    case 'EADDRINUSE':
      return problemWith('HTTP_PORT', `${port} on ${host} is in use by another program; choose another, or off`)
    case 'EACCES':
      return problemWith('HTTP_PORT', `${port} needs more rights than this user has; choose one from 1024 up`)
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return problemWith('HTTP_HOST', 'is not an address of this machine')
    default:
      return error
  }
}

/** The checks of `/readyz` by name: `database`, `migrations`, `schedules`, `freshness`. */
export type Readiness = Readonly<Record<string, { readonly ok: boolean; readonly detail: string }>>

/** `/readyz` answers within this time, because an orchestrator takes a missing answer for a dead process. */
const READINESS_LIMIT_MS = 2_000

/** Wraps `check` so that it always answers in time. A check that hangs or throws counts as failed. */
function boundReadiness(check: () => Promise<Readiness>): () => Promise<Readiness> {
  const answer = async () => check()
  return bound(
    () => answer().catch(() => failed('the check itself failed')),
    READINESS_LIMIT_MS,
    () => failed(`no answer within ${READINESS_LIMIT_MS} ms`),
  )
}

function failed(detail: string): Readiness {
  return { readiness: { ok: false, detail } }
}
