import { createMetrics } from '../http/metrics.js'
import { createSharedBudget, toReportedBudget } from '../service/account-run.js'
import type { CommandContext } from '../service/context.js'
import type { OpenDatabase } from '../service/database.js'
import type { Service } from '../service/service.js'
import { startSigns } from './heartbeats.js'
import { startKeeping } from './housekeeping.js'
import { startFleetHttp } from './http.js'
import type { Reloading } from './reloading.js'
import { runTaken } from './run.js'
import { openRunQueue } from './run-queue.js'
import { startScheduler } from './scheduler.js'
import { warnOfStalePauses } from './stale-warning.js'
import { type FleetWorker, startFleetWorker } from './worker.js'

/** What a process of a fleet does. */
export type FleetRole = 'scheduler' | 'worker' | 'both'

/** A worker takes a run while its window has room for so many requests for each: with less, it would soon wait. */
const MIN_REQUESTS = 10

/**
 * A full pass hands its account on while so many requests are left for each run, if the next ones would wait for longer than
 * so many milliseconds. Once blocked, in the middle of a stretch, a run keeps its account until the window is over.
 */
const LAST_REQUESTS = 2
const HAND_ON_WAIT_MS = 10_000

/**
 * Starts a process of a fleet on a migrated database: schedulers put accounts that are due into a queue in the same
 * database, workers take them from there. Disposing of it stops in that order: nothing new, runs put back, HTTP, queue.
 */
export async function startFleet(
  context: CommandContext<string | null>,
  database: OpenDatabase,
  reloading: Reloading,
  role: FleetRole,
): Promise<Service> {
  const { config, log, version } = context
  const { runsInParallel } = config
  const { db, databaseUrl } = database
  const { accounts } = reloading
  const current = () => reloading.accounts
  const metrics = createMetrics({ version, accounts: accounts.map((account) => account.name) })
  const sharedBudget = createSharedBudget(config)
  const { budget } = sharedBudget
  const isWorker = role !== 'scheduler'
  if (isWorker) metrics.showPause(false)
  const queue = await openRunQueue(databaseUrl, log)
  const http = await startFleetHttp(context, database, { metrics, accounts: current }).catch(async (error) => {
    await queue.close()
    throw error
  })

  let worker: FleetWorker | null = null
  const signs = await startSigns({
    ...{ db, log, worker: context.worker },
    sign: () => ({
      ...{ role, sourceAddress: config.spidra.sourceAddress, runsInParallel, running: worker?.running ?? 0 },
      budget: toReportedBudget(budget.known()),
      pausedForMs: worker?.pauseMs ?? 0,
    }),
  })
  const scheduler = role === 'worker' ? null : startScheduler({ db, queue, accounts, log, ...config.schedule })
  const keeping = scheduler === null ? null : startKeeping(context, database, accounts)
  const runner = { context, database, sharedBudget, metrics, accounts: current, keeping }
  if (isWorker) {
    worker = startFleetWorker({
      queue,
      slots: runsInParallel,
      log,
      hasBudgetFor: (runs) => budget.hasRoomFor(runs * MIN_REQUESTS),
      wouldWait: (runs) => budget.roomInMs(runs * LAST_REQUESTS) > HAND_ON_WAIT_MS,
      pausedForMs: (runs) => budget.roomInMs(runs * MIN_REQUESTS),
      onPause(isPaused) {
        metrics.showPause(isPaused)
        signs.soon()
      },
      onChange: signs.soon,
      accounts: () => current().map((account) => account.name),
      run: (taken, signal, mustHandOn) => runTaken(runner, taken, signal, mustHandOn),
    })
  }

  let served = accounts
  function apply(next: Reloading['accounts']): void {
    const names = new Set(next.map((account) => account.name))
    for (const account of served) if (!names.has(account.name)) metrics.forgetAccount(account.name)
    for (const account of names) metrics.addAccount(account)
    served = next
    if (scheduler !== null) warnOfStalePauses(context, next)
    scheduler?.setAccounts(next)
    void keeping?.setAccounts(next)
  }
  const stopListening = reloading.onChange(apply)
  // They may have changed while the fleet was joined.
  apply(current())
  log.info({ role, accounts: accounts.length }, 'fleet joined')

  return {
    http,
    async [Symbol.asyncDispose]() {
      stopListening()
      await Promise.all([scheduler?.stop(), keeping?.stop(), worker?.stop()])
      await http?.close()
      await signs.stop()
      await queue.close()
    },
  }
}
