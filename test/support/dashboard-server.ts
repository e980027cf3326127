import { type HttpServerOptions, startHttpServer } from '../../src/http/server.js'
import { createLogger } from '../../src/logging/logger.js'

/** The configured limit, where the API reports none. */
export const RATE_LIMIT = { requests: 300, windowSeconds: 900, reserve: 0.5 }

/** Serves the dashboard on a free port, as the service does. */
export async function serveDashboard(
  dashboard: NonNullable<HttpServerOptions['dashboard']>,
  config: Partial<HttpServerOptions['config']> = {},
) {
  const logged: string[] = []
  const destination = { write: (line: string) => logged.push(line) }
  const unused = () => Promise.reject(new Error('not used by these tests'))
  const server = await startHttpServer({
    config: { host: '127.0.0.1', port: 0, dashboardPassword: null, ...config },
    log: await createLogger({ level: 'info', format: 'json', secrets: [], destination }),
    metrics: { contentType: '', read: unused },
    readiness: unused,
    status: unused,
    dashboard,
  })
  if (server === null) throw new Error('The server did not start')
  // Those of the start.
  logged.length = 0
  return { url: server.url, logged, [Symbol.asyncDispose]: () => server.close() }
}
