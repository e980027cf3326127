import { type AlertWatch, startAlertWatch } from '../alerts/watch.js'
import type { Account } from '../config/accounts.js'
import { pruneHistory } from '../db/housekeeping.js'
import type { CommandContext } from '../service/context.js'
import type { OpenDatabase } from '../service/database.js'
import type { RunSummary } from '../sync/run-summary.js'

/** How often a scheduler checks whether a new day has begun, in milliseconds. */
const DAY_CHECK_MS = 10 * 60_000

/** What a scheduler does for each account besides putting its runs into the queue. */
export interface Housekeeping {
  setAccounts(accounts: readonly Account[]): Promise<void>
  /** Has the alerts of the account checked soon. */
  runEnded(account: string, run: RunSummary): void
  stop(): Promise<void>
}

/** Starts to check the alerts of the accounts, and to delete their old history once a day. */
export function startHousekeeping(
  { config, worker, log }: Pick<CommandContext<string | null>, 'config' | 'worker' | 'log'>,
  { db }: OpenDatabase,
  accounts: readonly Account[],
): Housekeeping {
  const watches = new Map<string, AlertWatch>()
  const stopper = new AbortController()
  const { signal } = stopper
  let prunedOn: string | null = null
  let pruning: Promise<void> = Promise.resolve()

  async function setAccounts(wanted: readonly Account[]): Promise<void> {
    const names = new Set(wanted.map(({ name }) => name))
    for (const account of names) {
      if (!watches.has(account)) watches.set(account, startAlertWatch({ db, account, worker, config, log }))
    }
    const removed = [...watches].filter(([name]) => !names.has(name))
    for (const [name] of removed) watches.delete(name)
    await Promise.all(removed.map(([, watch]) => watch.stop()))
  }

  async function pruneDaily(): Promise<void> {
    const today = new Date().toISOString().slice(0, 10)
    if (prunedOn === today) return
    prunedOn = today
    for (const account of [...watches.keys()]) {
      const deleted = await pruneHistory(db, account, config.historyDays, { signal })
      log.info({ account, ...deleted }, 'old history deleted')
    }
  }

  function prune(): void {
    pruning = pruning.then(pruneDaily).catch((err: unknown) => {
      prunedOn = null
      if (!signal.aborted) log.warn({ err }, 'old history could not be deleted')
    })
  }

  void setAccounts(accounts)
  prune()
  const timer = setInterval(prune, DAY_CHECK_MS)

  return {
    setAccounts,
    runEnded: (account, run) => watches.get(account)?.runEnded(run),
    async stop() {
      clearInterval(timer)
      stopper.abort(new Error('The process was asked to stop'))
      await Promise.all([setAccounts([]), pruning])
    },
  }
}
