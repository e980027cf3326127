import type { Account } from '../accounts.js'
import { forgetWorker, noteWorker } from '../db/workers.js'
import { startFleetWorker } from '../fleet/fleet-worker.js'
import { openRunQueue } from '../fleet/run-queue.js'
import { startScheduler } from '../fleet/scheduler.js'
import { createMetrics } from '../http/metrics.js'
import type { CommandContext } from './command.js'
import { startFleetHttp } from './fleet-http.js'
import { startKeeping } from './fleet-keeping.js'
import { runTaken } from './fleet-run.js'
import type { OpenDatabase } from './open-database.js'
import type { Service } from './service.js'
import { createSharedBudget } from './shared-budget.js'

/** What a process of a fleet does. */
export type FleetRole = 'scheduler' | 'worker' | 'both'

/** Between two signs of life, in milliseconds. */
const SIGN_EVERY_MS = 15_000

/** A worker takes a run while its window has room for so many requests for each: with less, it would soon wait. */
const MIN_REQUESTS = 10

/**
 * Starts a process of a fleet on a migrated database: schedulers put accounts that are due into a queue in the same
 * database, workers take them from there. Disposing of it stops in that order: nothing new, runs put back, HTTP, queue.
 */
export async function startFleet(
  context: CommandContext<string | null>,
  database: OpenDatabase,
  role: FleetRole,
): Promise<Service> {
  const { config, log, version, worker: name } = context
  const { db, databaseUrl } = database
  let accounts: readonly Account[] = context.accounts
  const metrics = createMetrics({ version, accounts: accounts.map((account) => account.name) })
  const sharedBudget = createSharedBudget(config)
  const { budget } = sharedBudget
  const queue = await openRunQueue(databaseUrl, log)
  const http = await startFleetHttp(context, database, { metrics, accounts: () => accounts }).catch(async (error) => {
    await queue.close()
    throw error
  })

  const scheduler =
    role === 'worker'
      ? null
      : startScheduler({
          ...{ db, queue, accounts, log },
          ...{
            fullSync: config.schedule.fullSync,
            timezone: config.schedule.timezone,
            onStart: config.schedule.onStart,
          },
        })
  const keeping = scheduler === null ? null : startKeeping(context, database, accounts)
  const runner = { context, database, sharedBudget, metrics, accounts: () => accounts }
  const worker =
    role === 'scheduler'
      ? null
      : startFleetWorker({
          ...{ queue, log, slots: config.runsInParallel },
          hasBudgetFor: (runs) => budget.hasRoomFor(runs * MIN_REQUESTS),
          run: (taken, signal, isSliceOver) => runTaken(runner, taken, signal, isSliceOver),
        })

  async function giveSign(): Promise<void> {
    const running = worker?.running ?? 0
    const { sourceAddress } = config.spidra
    await noteWorker(db, {
      ...{ worker: name, role, sourceAddress, runsInParallel: config.runsInParallel, running, budget: budget.told() },
    }).catch((err: unknown) => log.debug({ err }, 'sign of life could not be given'))
  }
  await giveSign()
  const signs = setInterval(giveSign, SIGN_EVERY_MS)

  function reload(): void {
    try {
      accounts = context.reloadAccounts()
    } catch (err) {
      log.error({ err }, 'accounts file cannot be used: the accounts stay as they were')
      return
    }
    for (const account of accounts) metrics.addAccount(account.name)
    scheduler?.setAccounts(accounts)
    void keeping?.setAccounts(accounts)
    log.info({ accounts: accounts.length }, 'accounts read again')
  }
  const stopListening = context.onHangup(reload)
  log.info({ role, accounts: accounts.length }, 'fleet joined')

  return {
    http,
    async [Symbol.asyncDispose]() {
      stopListening()
      clearInterval(signs)
      await Promise.all([scheduler?.stop(), keeping?.stop(), worker?.stop()])
      await http?.close()
      await forgetWorker(db, name).catch(() => {})
      await queue.close()
    },
  }
}
