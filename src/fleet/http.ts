import type { Account } from '../config/accounts.js'
import type { Metrics } from '../http/metrics.js'
import { type HttpServer, startHttpServer } from '../http/server.js'
import { readDashboard } from '../report/dashboard-data.js'
import { readFleet } from '../report/fleet.js'
import { readStatusDocument } from '../report/status-document.js'
import type { CommandContext } from '../service/context.js'
import type { OpenDatabase } from '../service/database.js'
import { checkReadiness } from '../service/readiness.js'
import { createScrape } from '../service/scrape.js'

/**
 * Serves what a process of a fleet has to say. It is ready whatever its accounts' freshness: a refused key of one of them
 * is no reason to restart it, and the alerts and the dashboard tell of it.
 */
export async function startFleetHttp(
  { config, account, log }: Pick<CommandContext<string | null>, 'config' | 'account' | 'log'>,
  { db }: OpenDatabase,
  { metrics, accounts }: { readonly metrics: Metrics; readonly accounts: () => readonly Account[] },
): Promise<HttpServer | null> {
  const names = () => accounts().map(({ name }) => name)
  const http = await startHttpServer({
    config: config.http,
    log,
    metrics: createScrape({
      ...{ db, log, metrics, accounts: names },
      async refresh() {
        const fleet = await readFleet(db)
        if (fleet !== null) metrics.showFleet(fleet)
      },
    }),
    readiness: () => checkReadiness(db, { account: null, isArmed: true, intervalMs: null }),
    status: () => readStatusDocument(db, names()),
    dashboard: {
      account: accounts()[0]?.name ?? account,
      accounts: names,
      read: (filters) => readDashboard(db, filters),
    },
  })
  if (http !== null) log.info({ url: http.url }, 'http server listens')
  return http
}
