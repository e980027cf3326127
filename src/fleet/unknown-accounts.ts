import type { Logger } from '../logger.js'
import type { RunQueue, TakenRun } from './run-queue.js'

/** So long a run is kept for a worker that knows its account, in milliseconds. */
const KEPT_MS = 24 * 3_600_000

const HINT =
  'runs of an account are left to other workers: this one lacks it. Send SIGHUP so that the accounts file is read again'

export interface UnknownAccountsOptions {
  readonly queue: Pick<RunQueue, 'putBack' | 'finish'>
  /** Whether the accounts file of this process has the account, as of now. */
  readonly knows: (account: string) => boolean
  readonly log: Logger
}

/**
 * Makes what leaves runs to others whose account this process does not know: its accounts file is older than the
 * scheduler's, or the account was taken out. Returns whether the run was left. Each account is told once, and again
 * only where it was known in between.
 *
 * After a day the run is dropped: an account that was taken out everywhere would wait for ever, and of one that is still
 * served the next tick makes another.
 */
export function createUnknownAccounts({
  queue,
  knows,
  log,
}: UnknownAccountsOptions): (taken: TakenRun) => Promise<boolean> {
  const told = new Set<string>()
  return async (taken) => {
    const { account, dueSince } = taken
    if (knows(account)) {
      told.delete(account)
      return false
    }
    const isKept = Date.now() - Date.parse(dueSince) < KEPT_MS
    if (!isKept) log.warn({ account, dueSince }, 'run dropped: for a day no worker knew its account')
    else if (!told.has(account)) log.warn({ account }, HINT)
    told.add(account)
    await (isKept ? queue.putBack(taken) : queue.finish(taken))
    return true
  }
}
