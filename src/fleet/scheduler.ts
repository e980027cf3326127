import { TIMING } from '../config/scale.js'
import { isAccountRunning } from '../db/account-lock.js'
import type { Database } from '../db/client.js'
import { saveNextRun } from '../db/sync-state.js'
import type { Logger } from '../logging/logger.js'
import { type Schedules, startSchedules } from '../scheduler/schedules.js'
import type { RunMode, RunTrigger } from '../sync/run-summary.js'
import type { RunQueue } from './run-queue.js'

/** Between two looks for runs that nobody will take, in milliseconds. */
const SWEEP_EVERY_MS = 60_000

/** When an account is due. */
export interface AccountSchedule {
  readonly name: string
  /** Cron of its incremental runs; null: none. */
  readonly schedule: string | null
}

export interface SchedulerOptions {
  readonly db: Database
  readonly queue: RunQueue
  readonly accounts: readonly AccountSchedule[]
  /** Cron of the full runs of all accounts; null: none. */
  readonly fullSync: string | null
  readonly timezone: string
  /** Whether all accounts are due at once. */
  readonly onStart: boolean
  readonly log: Logger
}

export interface Scheduler {
  /** Takes over another list: new accounts are due at once, those that are gone no longer. */
  setAccounts(accounts: readonly AccountSchedule[]): void
  stop(): Promise<void>
}

/**
 * Puts the accounts into the queue when they are due, and their run neither waits there nor is under way. Any number of
 * schedulers may do the same: what one has put, the next one finds.
 */
export function startScheduler(options: SchedulerOptions): Scheduler {
  const { db, queue, fullSync, timezone, log } = options
  const armed = new Map<string, { readonly schedule: string | null; readonly schedules: Schedules }>()
  const underWay = new Set<Promise<void>>()

  function due(account: string, mode: RunMode, trigger: RunTrigger): void {
    follow(put(account, mode, trigger), 'run could not be put into the queue', { account })
  }

  /** The end of it is waited for at the stop; that it failed is told. */
  function follow(task: Promise<void>, failure: string, fields: { readonly account?: string } = {}): void {
    const work = task
      .catch((err: unknown) => log.warn({ ...fields, err }, failure))
      .finally(() => underWay.delete(work))
    underWay.add(work)
  }

  async function put(account: string, mode: RunMode, trigger: RunTrigger): Promise<void> {
    // A full run is worth waiting for the run under way: it may be a day until its next tick.
    if (mode === 'incremental' && (await isAccountRunning(db, account))) return
    const isNew = await queue.put({ account, mode, trigger })
    log.debug({ account, mode, trigger, isNew }, 'run due')
    await saveNextRun(db, account, armed.get(account)?.schedules.nextRun() ?? null)
  }

  function arm({ name, schedule }: AccountSchedule): void {
    const schedules = startSchedules({
      ...{ sync: schedule, fullSync, timezone },
      onTick: (mode) => due(name, mode, 'schedule'),
      onClockSet: () => void saveNextRun(db, name, schedules.nextRun()).catch(() => {}),
      timing: TIMING,
      log: log.child({ account: name }),
    })
    armed.set(name, { schedule, schedules })
  }

  function disarm(name: string): void {
    armed.get(name)?.schedules.stop()
    armed.delete(name)
  }

  function setAccounts(accounts: readonly AccountSchedule[], { areDue }: { readonly areDue: boolean }): void {
    const wanted = new Map(accounts.map((account) => [account.name, account]))
    for (const [name, { schedule }] of armed) {
      if (wanted.get(name)?.schedule !== schedule) disarm(name)
      // Nobody would run it any more.
      if (!wanted.has(name)) follow(queue.withdraw(name), 'run could not be taken out of the queue', { account: name })
    }
    for (const account of accounts) {
      if (armed.has(account.name)) continue
      arm(account)
      if (areDue) due(account.name, 'incremental', 'startup')
    }
  }

  setAccounts(options.accounts, { areDue: options.onStart })
  // Those that were taken out by a restart, or were under way when they were.
  const sweep = setInterval(
    () => follow(queue.withdrawOthers([...armed.keys()]), 'old runs could not be taken out of the queue'),
    SWEEP_EVERY_MS,
  )

  return {
    setAccounts: (accounts) => setAccounts(accounts, { areDue: true }),
    async stop() {
      clearInterval(sweep)
      for (const name of [...armed.keys()]) disarm(name)
      await Promise.all(underWay)
    },
  }
}
