import type { Account } from '../config/accounts.js'
import type { Database } from '../db/client.js'
import { createMetrics, type Metrics } from '../http/metrics.js'
import { type HttpServer, startHttpServer } from '../http/server.js'
import { errorCodeOf, messageOf } from '../logging/error-code.js'
import { createDashboardReads } from '../report/dashboard-data.js'
import { readFleet } from '../report/fleet.js'
import { readStatusDocument } from '../report/status.js'
import { shortestInterval } from '../scheduler/schedules.js'
import {
  createSharedBudget,
  isFullRunLeft,
  runAccount,
  type SharedBudget,
  toReportedBudget,
} from '../service/account-run.js'
import { forAccount } from '../service/accounts.js'
import type { CommandContext } from '../service/context.js'
import type { OpenDatabase } from '../service/database.js'
import type { LiveAccounts } from '../service/live-accounts.js'
import { checkReadiness } from '../service/readiness.js'
import { createScrape } from '../service/scrape.js'
import type { Service, ServiceDatabase } from '../service/service.js'
import { SpidraError } from '../spidra/errors.js'
import { ForeignListError } from '../sync/foreign-list.js'
import { startHeartbeats } from './heartbeats.js'
import { type Housekeeping, startHousekeeping } from './housekeeping.js'
import { openRunQueue, type RunFailure, type RunQueue, type TakenRun } from './run-queue.js'
import { startScheduler } from './scheduler.js'
import { type FleetRunEnd, type FleetWorker, startFleetWorker } from './worker.js'

type Context = CommandContext<string | null>

/** What a process of a fleet does. */
export type FleetRole = 'scheduler' | 'worker' | 'both'

/** Requests that the budget must have for each run before a worker takes one more: with fewer, the run would soon wait. */
const MIN_REQUESTS = 10

/**
 * A full pass yields its account when fewer requests than this are left for each run and the next ones would wait longer than
 * `YIELD_WAIT_MS`. A run that is blocked in the middle of a stretch keeps its account until the window is over.
 */
const LAST_REQUESTS = 2
const YIELD_WAIT_MS = 10_000

/**
 * Starts a process of a fleet: HTTP first, then it prepares the database. Schedulers put due accounts into a queue in the same
 * database; workers take them from there. Disposing of it stops the schedules, aborts the runs and puts them back, then closes HTTP and queue.
 */
export async function startFleet(
  context: Context,
  database: ServiceDatabase,
  liveAccounts: LiveAccounts,
  role: FleetRole,
): Promise<Service> {
  const { config, log, version } = context
  const { runsInParallel } = config
  const { db } = database
  const { accounts } = liveAccounts
  const current = () => liveAccounts.accounts
  const metrics = createMetrics({ version, accounts: accounts.map((account) => account.name) })
  const sharedBudget = createSharedBudget(config)
  const { budget } = sharedBudget
  const isWorker = role !== 'scheduler'
  if (isWorker) metrics.showPause(false)
  const http = await startFleetHttp(context, db, metrics, current)
  const queue = await openQueue(database, log).catch(async (error: unknown) => {
    await http?.close()
    throw error
  })

  let worker: FleetWorker | null = null
  const heartbeats = await startHeartbeats({
    ...{ db, log, worker: context.worker },
    read: () => ({
      ...{ role, sourceAddress: config.spidra.sourceAddress, runsInParallel, running: worker?.running ?? 0 },
      budget: toReportedBudget(budget.known()),
      pausedForMs: worker?.pauseMs ?? 0,
    }),
  })
  const scheduler = role === 'worker' ? null : startScheduler({ db, queue, accounts, log, ...config.schedule })
  const housekeeping = scheduler === null ? null : startHousekeeping(context, database, accounts)
  const runner = { context, database, sharedBudget, metrics, accounts: current, housekeeping }
  if (isWorker) {
    worker = startFleetWorker({
      queue,
      slots: runsInParallel,
      log,
      hasBudgetFor: (runs) => budget.hasRoomFor(runs * MIN_REQUESTS),
      wouldWait: (runs) => budget.roomInMs(runs * LAST_REQUESTS) > YIELD_WAIT_MS,
      pausedForMs: (runs) => budget.roomInMs(runs * MIN_REQUESTS),
      onPause(isPaused) {
        metrics.showPause(isPaused)
        heartbeats.soon()
      },
      onChange: heartbeats.soon,
      accounts: () => current().map((account) => account.name),
      run: (taken, signal, mustYield) => runTaken(runner, taken, signal, mustYield),
    })
  }

  let served = accounts
  function apply(next: readonly Account[]): void {
    const names = new Set(next.map((account) => account.name))
    for (const account of served) if (!names.has(account.name)) metrics.forgetAccount(account.name)
    for (const account of names) metrics.addAccount(account)
    served = next
    if (scheduler !== null) warnOfStaleAlerts(context, next)
    scheduler?.setAccounts(next)
    void housekeeping?.setAccounts(next)
  }
  const stopListening = liveAccounts.onChange(apply)
  // The accounts may have changed during the start.
  apply(current())
  log.info({ role, accounts: accounts.length }, 'fleet joined')

  return {
    http,
    async [Symbol.asyncDispose]() {
      stopListening()
      await Promise.all([scheduler?.stop(), housekeeping?.stop(), worker?.stop()])
      await http?.close()
      await heartbeats.stop()
      await queue.close()
    },
  }
}

async function openQueue({ prepare, databaseUrl }: ServiceDatabase, log: Context['log']): Promise<RunQueue> {
  await prepare?.()
  return openRunQueue(databaseUrl, log)
}

/**
 * Serves readiness, metrics, status and dashboard of a process of a fleet. The process is ready however stale its accounts
 * are: a restart would not fix the refused key of one of them, and the alerts and the dashboard show it.
 */
async function startFleetHttp(
  { config, account, log }: Context,
  db: Database,
  metrics: Metrics,
  accounts: () => readonly Account[],
): Promise<HttpServer | null> {
  const names = () => accounts().map(({ name }) => name)
  return startHttpServer({
    config: config.http,
    log,
    metrics: createScrape({
      ...{ db, log, metrics, accounts: names, rateLimit: config.rateLimit },
      async refresh() {
        const fleet = await readFleet(db)
        if (fleet !== null) metrics.showFleet(fleet)
      },
    }),
    readiness: () => checkReadiness(db, { account: null, isArmed: true, intervalMs: null }),
    status: () => readStatusDocument(db, names(), config.rateLimit),
    dashboard: {
      account: accounts()[0]?.name ?? account,
      accounts: names,
      reads: createDashboardReads(db, config.rateLimit),
    },
  })
}

interface Runner {
  readonly context: Context
  readonly database: OpenDatabase
  readonly sharedBudget: SharedBudget
  readonly metrics: Metrics
  /** As of now: SIGHUP may change them. */
  readonly accounts: () => readonly Account[]
  /** Null where the process is no scheduler. */
  readonly housekeeping: Housekeeping | null
}

/** Runs what was taken off the queue, and reports how it ended. */
async function runTaken(
  { context, database, sharedBudget, metrics, accounts, housekeeping }: Runner,
  { account: name, mode, trigger }: TakenRun,
  signal: AbortSignal,
  mustYield: () => boolean,
): Promise<FleetRunEnd> {
  const account = accounts().find((candidate) => candidate.name === name)
  if (account === undefined) throw new Error(`account ${name} was taken out of the accounts file as its run began`)
  metrics.runStarted(name)
  const { summary, error } = await runAccount({
    ...forAccount(context, account),
    ...database,
    mode,
    trigger,
    sharedBudget,
    signal,
    mustYield,
    onRequest: ({ outcome, attempt, durationMs }) =>
      metrics.observeRequest({ account: name, outcome, retry: attempt > 1, durationMs }),
  })
  metrics.observeRun(summary)
  housekeeping?.runEnded(name, summary)
  // The next full tick may be a day off.
  const isStillDue = mode === 'full' && (await isFullRunLeft(database.db, summary))
  return { summary, failure: error === null ? null : toFailure(error, signal.aborted), isStillDue }
}

function toFailure(error: Error, isStopped: boolean): RunFailure {
  const code = isStopped ? 'stopped' : (errorCodeOf(error) ?? 'internal')
  const isRetryable = error instanceof SpidraError ? error.isRetryable : !(error instanceof ForeignListError)
  return { code, message: messageOf(error), isRetryable }
}

/** Warns of accounts that run so rarely that the alert `stale` would fire between any two of their runs. */
function warnOfStaleAlerts({ config, log }: Context, accounts: readonly Account[]): void {
  const { webhookUrl, staleMinutes } = config.alerts
  if (webhookUrl === null) return
  const isRare = ({ schedule }: Account) =>
    (shortestInterval([schedule, config.schedule.fullSync]) ?? 0) > staleMinutes * 60_000
  const names = accounts.filter(isRare).map(({ name }) => name)
  if (names.length === 0) return
  log.warn(
    { accounts: names, staleMinutes },
    'ALERT_STALE_MINUTES is shorter than the time between two runs of these accounts: every pause will raise an alert',
  )
}
