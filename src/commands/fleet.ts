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
import type { Reloading } from './reloading.js'
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
  reloading: Reloading,
  role: FleetRole,
): Promise<Service> {
  const { config, log, version, worker: name } = context
  const { runsInParallel } = config
  const { sourceAddress } = config.spidra
  const { db, databaseUrl } = database
  const { accounts } = reloading
  const current = () => reloading.accounts
  const metrics = createMetrics({ version, accounts: accounts.map((account) => account.name) })
  const sharedBudget = createSharedBudget(config)
  const { budget } = sharedBudget
  const queue = await openRunQueue(databaseUrl, log)
  const http = await startFleetHttp(context, database, { metrics, accounts: current }).catch(async (error) => {
    await queue.close()
    throw error
  })

  const scheduler = role === 'worker' ? null : startScheduler({ db, queue, accounts, log, ...config.schedule })
  const keeping = scheduler === null ? null : startKeeping(context, database, accounts)
  const runner = { context, database, sharedBudget, metrics, accounts: current, keeping }
  const worker =
    role === 'scheduler'
      ? null
      : startFleetWorker({
          queue,
          slots: runsInParallel,
          log,
          hasBudgetFor: (runs) => budget.hasRoomFor(runs * MIN_REQUESTS),
          knows: (account) => current().some((known) => known.name === account),
          run: (taken, signal, isSliceOver) => runTaken(runner, taken, signal, isSliceOver),
        })

  async function giveSign(): Promise<void> {
    const running = worker?.running ?? 0
    const sign = { worker: name, role, sourceAddress, runsInParallel, running, budget: budget.told() }
    await noteWorker(db, sign).catch((err: unknown) => log.debug({ err }, 'sign of life could not be given'))
  }
  // The same host and number may have been another process before.
  await forgetWorker(db, name).catch(() => {})
  await giveSign()
  const signs = setInterval(giveSign, SIGN_EVERY_MS)

  let served = accounts
  function apply(next: Reloading['accounts']): void {
    const names = new Set(next.map((account) => account.name))
    for (const account of served) if (!names.has(account.name)) metrics.forgetAccount(account.name)
    for (const account of names) metrics.addAccount(account)
    served = next
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
      clearInterval(signs)
      await Promise.all([scheduler?.stop(), keeping?.stop(), worker?.stop()])
      await http?.close()
      await forgetWorker(db, name).catch(() => {})
      await queue.close()
    },
  }
}
