import type { Database } from '../db/client.js'
import type { Metrics } from '../http/metrics.js'
import { bound } from '../http/shared-reads.js'
import type { Logger } from '../logging/logger.js'
import { readProgress } from '../report/status.js'

/** How long to wait for the database, in milliseconds. Prometheus gives up after 10 seconds by default. */
const LIMIT_MS = 2_000

interface ScrapeOptions {
  readonly db: Database
  readonly log: Logger
  readonly metrics: Metrics
  /** Names of the accounts that are served now. A removed account must go, or its age would raise alarms for ever. */
  readonly accounts: () => readonly string[]
  /** Updates further gauges. Default none. */
  readonly refresh?: () => Promise<void>
}

/**
 * Creates the source of `/metrics`. Freshness and totals are read from the database for every scrape, because they change
 * during a run and by other workers. When the database does not answer in time, the gauges keep their last values.
 */
export function createScrape(options: ScrapeOptions): Pick<Metrics, 'read' | 'contentType'> {
  const { db, log, metrics, accounts, refresh = async () => {} } = options

  /** Whether the last read worked: a database that stays away is logged once, not for every scrape. */
  let isReadable = true

  function warnOnce(fields: object): void {
    if (isReadable) log.warn(fields, 'metrics could not be read from the database')
    isReadable = false
  }

  async function restore(): Promise<void> {
    try {
      const names = new Set(accounts())
      for (const { account, ...totals } of await readProgress(db)) {
        if (names.has(account)) metrics.restore(account, totals)
      }
      await refresh()
      isReadable = true
    } catch (err) {
      warnOnce({ err })
    }
  }

  const restoreInTime = bound(restore, LIMIT_MS, () => warnOnce({ limitMs: LIMIT_MS }))
  return {
    contentType: metrics.contentType,
    async read() {
      await restoreInTime()
      return metrics.read()
    },
  }
}
