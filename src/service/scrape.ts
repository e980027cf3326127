import type { Config } from '../config/config.js'
import { type Database, readDatabaseTime } from '../db/client.js'
import type { Metrics } from '../http/metrics.js'
import { bound } from '../http/shared-reads.js'
import type { Logger } from '../logging/logger.js'
import { readLoadProgress } from '../report/load-progress.js'
import { readProgress } from '../report/status.js'

/** How long to wait for the database, in milliseconds. Prometheus gives up after 10 seconds by default. */
const LIMIT_MS = 2_000

/** First loads that are read for one scrape. Of more, each keeps its values until its turn. */
const LOADS_PER_SCRAPE = 20

interface ScrapeOptions {
  readonly db: Database
  readonly log: Logger
  readonly metrics: Metrics
  /** Names of the accounts that are served now. A removed account must go, or its age would raise alarms for ever. */
  readonly accounts: () => readonly string[]
  /** The configured one, for estimates. */
  readonly rateLimit: Config['rateLimit']
  /** Updates further gauges. Default none. */
  readonly refresh?: () => Promise<void>
}

/**
 * Creates the source of `/metrics`. Freshness and totals are read from the database for every scrape, because they change
 * during a run and by other workers. When the database does not answer in time, the gauges keep their last values.
 */
export function createScrape(options: ScrapeOptions): Pick<Metrics, 'read' | 'contentType'> {
  const { db, log, metrics, accounts, rateLimit, refresh = async () => {} } = options

  /** Whether the last read worked: a database that stays away is logged once, not for every scrape. */
  let isReadable = true
  /** The first load that was read last. */
  let turn = -1

  function warnOnce(fields: object): void {
    if (isReadable) log.warn(fields, 'metrics could not be read from the database')
    isReadable = false
  }

  async function restore(): Promise<void> {
    try {
      const names = new Set(accounts())
      const served = (await readProgress(db)).filter(({ account }) => names.has(account))
      for (const { account, isFirstLoad, results, ...totals } of served) {
        metrics.restore(account, totals)
        metrics.showResults(account, results)
        if (!isFirstLoad) metrics.showFirstLoad(account, null)
      }
      await refresh()
      await showFirstLoads(served.filter(({ isFirstLoad }) => isFirstLoad).map(({ account }) => account))
      isReadable = true
    } catch (err) {
      warnOnce({ err })
    }
  }

  async function showFirstLoads(loading: readonly string[]): Promise<void> {
    if (loading.length === 0) return
    const now = await readDatabaseTime(db)
    for (let count = 0; count < Math.min(loading.length, LOADS_PER_SCRAPE); count += 1) {
      turn = (turn + 1) % loading.length
      const account = loading[turn]
      if (account !== undefined) metrics.showFirstLoad(account, await readLoadProgress(db, { account, now, rateLimit }))
    }
  }

  const restoreInTime = bound(restore, LIMIT_MS, () => warnOnce({ limitMs: LIMIT_MS }))
  return {
    contentType: metrics.contentType,
    async read(shown) {
      await restoreInTime()
      return metrics.read(shown)
    },
  }
}
