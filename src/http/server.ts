import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import type { Config } from '../config/config.js'
import { ConfigError } from '../config/errors.js'
import type { Logger } from '../logging/logger.js'
import type { StatusDocument } from '../report/status-document.js'
import { createAccessCheck } from './access.js'
import { addDashboard, type DashboardOptions } from './dashboard.js'
import type { Metrics } from './metrics.js'
import { boundReadiness, type Readiness } from './readiness.js'
import { addSecurityHeaders, securityHeaders } from './security-headers.js'

export interface HttpServerOptions {
  readonly config: Config['http']
  readonly log: Logger
  readonly metrics: Pick<Metrics, 'read' | 'contentType'>
  readonly readiness: () => Promise<Readiness>
  /** What `/api/status` says. */
  readonly status: () => Promise<StatusDocument>
  /** Default: no dashboard is served. */
  readonly dashboard?: Omit<DashboardOptions, 'log'>
}

export interface HttpServer {
  /** Where it listens, with the port that was in fact taken. */
  readonly url: string
  /** Closes at once; answers under way are cut. */
  readonly close: () => Promise<void>
}

/** Served to anybody: orchestrators and Prometheus send no password, and these three say nothing of the jobs. */
const PUBLIC_ROUTES: ReadonlySet<string | undefined> = new Set(['/healthz', '/readyz', '/metrics'])

/**
 * Serves probes, metrics and status. Null when the configuration says `HTTP_PORT=off`.
 * Throws `ConfigError` naming the variable when the address cannot be had.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer | null> {
  const { host, port } = options.config
  if (port === null) return null

  const app = Fastify({
    ...{ logger: false, trustProxy: false, forceCloseConnections: true, requestTimeout: 10_000 },
    // No hook sees a path that cannot be decoded, and Fastify's own answer would quote it.
    frameworkErrors: (_error, _request, reply) => void badRequest(reply.headers(securityHeaders()), 400),
  })
  addHooks(app, options)
  addRoutes(app, options)
  if (options.dashboard) addDashboard(app, { log: options.log, ...options.dashboard })
  try {
    return { url: await app.listen({ host, port }), close: () => app.close() }
  } catch (error) {
    await app.close()
    throw toConfigError(error, host, port)
  }
}

function addRoutes(app: FastifyInstance, { log, metrics, readiness, status }: HttpServerOptions): void {
  const checkReadiness = boundReadiness(readiness)

  app.get('/healthz', async () => ({ status: 'ok' }))

  app.get('/readyz', async (_request, reply) => {
    const checks = await checkReadiness()
    const isReady = Object.values(checks).every((check) => check.ok)
    return reply.code(isReady ? 200 : 503).send({ status: isReady ? 'ready' : 'not_ready', checks })
  })

  app.get('/metrics', async (_request, reply) => reply.type(metrics.contentType).send(await metrics.read()))

  app.get('/api/status', async (_request, reply) => {
    try {
      return await status()
    } catch (err) {
      log.warn({ err }, 'status not readable')
      return sendError(reply, 503, 'unavailable', 'The status cannot be read now; /readyz says more.')
    }
  })
}

function addHooks(app: FastifyInstance, { config, log }: HttpServerOptions): void {
  const onBlocked = (address: string) => log.warn({ address }, 'too many wrong passwords, address blocked for a while')
  const refusalOf = createAccessCheck({ ...config, onBlocked })

  addSecurityHeaders(app)

  app.addHook('onRequest', async (request, reply) => {
    // Of a path without a route the pattern is unknown, so it is refused like the protected ones.
    if (PUBLIC_ROUTES.has(request.routeOptions.url)) return
    const refusal = refusalOf(request.headers, request.ip)
    if (refusal === null) return
    return sendError(reply.headers(refusal.headers), refusal.status, refusal.error, refusal.message)
  })

  app.addHook('onResponse', async (request, reply) => {
    const { method, routeOptions } = request
    log.debug({ method, route: routeOptions.url, status: reply.statusCode, ms: reply.elapsedTime }, 'request answered')
  })

  app.setNotFoundHandler((_request, reply) => sendError(reply, 404, 'not_found', 'There is no such page.'))

  app.setErrorHandler((err: Error & { statusCode?: number }, _request, reply) => {
    const status = err.statusCode ?? 500
    if (status < 500) return badRequest(reply, status)
    log.error({ err }, 'request failed')
    return sendError(reply, 500, 'internal_error', 'The request failed; the log says why.')
  })
}

function badRequest(reply: FastifyReply, status: number): FastifyReply {
  return sendError(reply, status, 'bad_request', 'The request cannot be understood.')
}

function sendError(reply: FastifyReply, status: number, error: string, message: string): FastifyReply {
  return reply.code(status).send({ error, message })
}

function toConfigError(error: unknown, host: string, port: number): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : null
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
