import type { Account } from '../accounts.js'
import type { Metrics } from '../http/metrics.js'
import { type HttpServer, startHttpServer } from '../http/server.js'
import { readDashboard } from '../report/dashboard-data.js'
import { readFleet, readProgress } from '../report/fleet.js'
import { readStatusDocument } from '../report/status-document.js'
import type { CommandContext } from './command.js'
import type { OpenDatabase } from './open-database.js'
import { checkReadiness } from './readiness.js'

/**
 * Serves what a process of a fleet has to say. It is ready whatever its accounts' freshness: a refused key of one of them
 * is no reason to restart it, and the alerts and the dashboard tell of it.
 */
export async function startFleetHttp(
  { config, account, log }: Pick<CommandContext<string | null>, 'config' | 'account' | 'log'>,
  { db }: OpenDatabase,
  { metrics, accounts }: { readonly metrics: Metrics; readonly accounts: () => readonly Account[] },
): Promise<HttpServer | null> {
  const http = await startHttpServer({
    config: config.http,
    log,
    metrics: {
      contentType: metrics.contentType,
      async read() {
        await restoreTotals().catch((err: unknown) => log.warn({ err }, 'metrics could not be read from the database'))
        return metrics.read()
      },
    },
    readiness: () => checkReadiness(db, { account: null, isArmed: true, intervalMs: null }),
    status: () =>
      readStatusDocument(
        db,
        accounts().map(({ name }) => name),
      ),
    dashboard: {
      account: accounts()[0]?.name ?? account,
      accounts: () => accounts().map(({ name }) => name),
      read: (filters) => readDashboard(db, filters),
    },
  })
  if (http !== null) log.info({ url: http.url }, 'http server listens')
  return http

  /** What other workers have done since shows, too. */
  async function restoreTotals(): Promise<void> {
    const names = new Set(accounts().map((one) => one.name))
    for (const { account: name, ...times } of await readProgress(db)) {
      // One that was taken out of the file would raise alarms for ever.
      if (names.has(name)) metrics.restore(name, { ...times, listedTotal: null, storedTotal: null })
    }
    const fleet = await readFleet(db)
    if (fleet !== null) metrics.showFleet(fleet)
  }
}
