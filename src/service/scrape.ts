import type { Database } from '../db/client.js'
import type { Metrics } from '../http/metrics.js'
import { bound } from '../http/shared-reads.js'
import type { Logger } from '../logging/logger.js'
import { readProgress } from '../report/status.js'

/** Prometheus gives up after 10 seconds by default. Long before that, what is known is shown as it is, in milliseconds. */
const LIMIT_MS = 2_000

export interface ScrapeOptions {
  readonly db: Database
  readonly log: Logger
  readonly metrics: Metrics
  /** Names of the accounts that are served now. One that was taken out of the file would raise alarms for ever. */
  readonly accounts: () => readonly string[]
  /** Brings more gauges up to date. Default: there are none. */
  readonly refresh?: () => Promise<void>
}

/**
 * The metrics as of the moment at which they are asked for: freshness and totals come from the database every time,
 * because they move in the middle of a run, and by other workers. Where the database does not answer in time, the gauges
 * show what was last known.
 */
export function createScrape(options: ScrapeOptions): Pick<Metrics, 'read' | 'contentType'> {
  const { db, log, metrics, accounts, refresh = async () => {} } = options

  /** A database that is away for long is worth one line, not one a scrape. */
  let isReadable = true

  function tellOnce(fields: object): void {
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
      tellOnce({ err })
    }
  }

  const restoreInTime = bound(restore, LIMIT_MS, () => tellOnce({ limitMs: LIMIT_MS }))
  return {
    contentType: metrics.contentType,
    async read() {
      await restoreInTime()
      return metrics.read()
    },
  }
}
