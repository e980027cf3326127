import { startAlertWatch } from '../alerts/watch.js'
import { pruneHistory } from '../db/housekeeping.js'
import { saveNextRun } from '../db/sync-state.js'
import { createMetrics } from '../http/metrics.js'
import { type HttpServer, startHttpServer } from '../http/server.js'
import { createDashboardReads } from '../report/dashboard-data.js'
import { FRESH_LIMITS } from '../report/freshness.js'
import { readStatusDocument } from '../report/status.js'
import { startWorker } from '../scheduler/worker.js'
import type { RunSummary } from '../sync/run-summary.js'
import { createSharedBudget, isFullRunLeft, runAccount } from './account-run.js'
import type { CommandContext } from './context.js'
import type { OpenDatabase } from './database.js'
import { checkReadiness } from './readiness.js'
import { createScrape } from './scrape.js'

/** The running service. Disposing of it aborts the run under way, waits for its end and closes the HTTP server. */
export interface Service extends AsyncDisposable {
  readonly http: HttpServer | null
}

/** The database of a service. */
export interface ServiceDatabase extends OpenDatabase {
  /** Brings the tables up to date; no run begins before it resolves. Default: they are. */
  readonly prepare?: () => Promise<void>
}

/**
 * Starts HTTP, prepares the database, and starts schedules and alerts for one account.
 *
 * @param options `onRun` is called with the summary of each run
 */
export async function startService(
  context: CommandContext,
  database: ServiceDatabase,
  { onRun }: { readonly onRun?: (summary: RunSummary) => void } = {},
): Promise<Service> {
  const { config, account, log, version } = context
  const { db } = database
  const { timing } = config
  const limits = { ...FRESH_LIMITS, minMs: timing.freshMs }
  const metrics = createMetrics({ version, accounts: [account] })

  let prunedOn: string | null = null
  async function pruneDaily(signal: AbortSignal): Promise<void> {
    const today = new Date().toISOString().slice(0, 10)
    if (prunedOn === today) return
    log.info(await pruneHistory(db, account, config.historyDays, { signal }), 'old history deleted')
    prunedOn = today
  }

  let isArmed = false
  let intervalMs: number | null = null
  const http = await startHttpServer({
    config: config.http,
    log,
    metrics: createScrape({ db, log, metrics, accounts: () => [account], rateLimit: config.rateLimit }),
    readiness: () => checkReadiness(db, { account, isArmed, intervalMs, limits }),
    status: () => readStatusDocument(db, [account], config.rateLimit),
    dashboard: { account, accounts: () => [account], reads: createDashboardReads(db, config.rateLimit) },
  })
  await database.prepare?.().catch(async (error: unknown) => {
    await http?.close()
    throw error
  })

  const alerts = startAlertWatch({
    db,
    account,
    worker: context.worker,
    config,
    log,
    checkEveryMs: timing.alertCheckMs,
  })
  const sharedBudget = createSharedBudget(config)
  const worker = startWorker({
    schedule: config.schedule,
    timing,
    log,
    onNextRun(at) {
      saveNextRun(db, account, at).catch((err: unknown) => log.warn({ err }, 'next run could not be saved'))
    },
    async run(mode, trigger, signal) {
      metrics.runStarted(account)
      const { summary } = await runAccount({
        ...context,
        ...database,
        mode,
        trigger,
        sharedBudget,
        signal,
        onRequest: ({ outcome, attempt, durationMs }) =>
          metrics.observeRequest({ account, outcome, retry: attempt > 1, durationMs }),
      })
      metrics.observeRun(summary)
      alerts.runEnded(summary)
      onRun?.(summary)
      await pruneDaily(signal).catch((err: unknown) => {
        if (!signal.aborted) log.warn({ err }, 'old history could not be deleted')
      })
      return isFullRunLeft(db, summary)
    },
  })
  isArmed = true
  intervalMs = worker.intervalMs
  log.info('service ready')
  if (config.alerts.webhookUrl !== null && (intervalMs ?? 0) > config.alerts.staleMinutes * 60_000) {
    log.warn('ALERT_STALE_MINUTES is shorter than the time between two runs: every pause will raise an alert')
  }

  return {
    http,
    async [Symbol.asyncDispose]() {
      isArmed = false
      await Promise.all([alerts.stop(), worker.stop()])
      await http?.close()
    },
  }
}
