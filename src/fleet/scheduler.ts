import { TIMING } from '../config/scale.js'
import type { Database } from '../db/client.js'
import { isAccountRunning } from '../db/run-lease.js'
import { saveNextRun } from '../db/sync-state.js'
import type { Logger } from '../logging/logger.js'
import { type Schedules, startSchedules } from '../scheduler/schedules.js'
import type { RunMode, RunTrigger } from '../sync/run-summary.js'
import type { RunQueue } from './run-queue.js'

/** Time between two clean-ups of the queue, in milliseconds. */
const CLEAN_EVERY_MS = 60_000

/** How far apart the ticks of two schedulers can be, in milliseconds: a run that began since then does the work of both. */
const TICK_DIFFERENCE_MS = 2_000

/** An account and its schedule. */
export interface ScheduledAccount {
  readonly name: string
  /** Cron expression of its incremental runs; null: none. */
  readonly schedule: string | null
}

export interface SchedulerOptions {
  readonly db: Database
  readonly queue: RunQueue
  readonly accounts: readonly ScheduledAccount[]
  /** Cron expression of the full runs of all accounts; null: none. */
  readonly fullSync: string | null
  readonly timezone: string
  /** Whether all accounts are due at the start. */
  readonly onStart: boolean
  readonly log: Logger
}

export interface Scheduler {
  /** Replaces the accounts: new ones are due at once, and what waits for removed ones leaves the queue. */
  setAccounts(accounts: readonly ScheduledAccount[]): void
  /** Stops the schedules, and waits for the statements under way. */
  stop(): Promise<void>
}

/**
 * Starts the schedules of the accounts: each tick puts a run into the queue. An incremental run is left out while the account
 * runs. Any number of schedulers may serve the same accounts, because the queue holds one waiting run per account.
 */
export function startScheduler(options: SchedulerOptions): Scheduler {
  const { db, queue, fullSync, timezone, log } = options
  const scheduled = new Map<string, { readonly schedule: string | null; readonly schedules: Schedules }>()
  const underWay = new Set<Promise<void>>()

  /** Lets `stop` wait for the end of the task, and logs its failure. */
  function track(task: Promise<void>, failure: string, fields: { readonly account?: string } = {}): void {
    const work = task
      .catch((err: unknown) => log.warn({ ...fields, err }, failure))
      .finally(() => underWay.delete(work))
    underWay.add(work)
  }

  function enqueue(account: string, mode: RunMode, trigger: RunTrigger): void {
    track(put(account, mode, trigger), 'run could not be put into the queue', { account })
  }

  async function put(account: string, mode: RunMode, trigger: RunTrigger): Promise<void> {
    // A full run is worth waiting for the run under way: its next tick may be a day off.
    if (mode === 'incremental' && (await isAccountRunning(db, account, { startedWithinMs: TICK_DIFFERENCE_MS }))) return
    const isNew = await queue.put({ account, mode, trigger })
    log.debug({ account, mode, trigger, isNew }, 'run due')
    await saveNextRun(db, account, scheduled.get(account)?.schedules.nextRun() ?? null)
  }

  function startAccount({ name, schedule }: ScheduledAccount): void {
    const schedules = startSchedules({
      ...{ sync: schedule, fullSync, timezone },
      onTick: (mode) => enqueue(name, mode, 'schedule'),
      onClockSet: () => void saveNextRun(db, name, schedules.nextRun()).catch(() => {}),
      timing: TIMING,
      log: log.child({ account: name }),
    })
    scheduled.set(name, { schedule, schedules })
  }

  function stopAccount(name: string): void {
    scheduled.get(name)?.schedules.stop()
    scheduled.delete(name)
  }

  function setAccounts(accounts: readonly ScheduledAccount[], { areDue }: { readonly areDue: boolean }): void {
    const wanted = new Map(accounts.map((account) => [account.name, account]))
    for (const [name, { schedule }] of scheduled) {
      if (wanted.get(name)?.schedule !== schedule) stopAccount(name)
      // No worker would take it.
      if (!wanted.has(name)) track(queue.withdraw(name), 'run could not be taken out of the queue', { account: name })
    }
    for (const account of accounts) {
      if (scheduled.has(account.name)) continue
      startAccount(account)
      if (areDue) enqueue(account.name, 'incremental', 'startup')
    }
  }

  setAccounts(options.accounts, { areDue: options.onStart })
  // Accounts may have been removed before a restart, or while a run of theirs was under way.
  const cleaning = setInterval(
    () => track(queue.withdrawOthers([...scheduled.keys()]), 'old runs could not be taken out of the queue'),
    CLEAN_EVERY_MS,
  )

  return {
    setAccounts: (accounts) => setAccounts(accounts, { areDue: true }),
    async stop() {
      clearInterval(cleaning)
      for (const name of [...scheduled.keys()]) stopAccount(name)
      await Promise.all(underWay)
    },
  }
}
