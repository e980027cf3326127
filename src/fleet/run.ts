import type { Account } from '../config/accounts.js'
import type { Metrics } from '../http/metrics.js'
import type { SharedBudget } from '../service/account-run.js'
import { isFullRunLeft, runAccount } from '../service/account-run.js'
import { forAccount } from '../service/accounts.js'
import type { CommandContext } from '../service/context.js'
import type { OpenDatabase } from '../service/database.js'
import { SpidraError } from '../spidra/errors.js'
import { ForeignListError } from '../sync/own-list.js'
import type { Keeping } from './housekeeping.js'
import type { RunFailure, TakenRun } from './run-queue.js'
import type { FleetRunEnd } from './worker.js'

export interface FleetRunner {
  readonly context: CommandContext<string | null>
  readonly database: OpenDatabase
  readonly sharedBudget: SharedBudget
  readonly metrics: Metrics
  /** As of now: SIGHUP may change them. */
  readonly accounts: () => readonly Account[]
  /** Of a process that is a scheduler too; null otherwise. */
  readonly keeping: Keeping | null
}

/** Runs what was taken off the queue, and tells how it ended. */
export async function runTaken(
  { context, database, sharedBudget, metrics, accounts, keeping }: FleetRunner,
  { account: name, mode, trigger }: TakenRun,
  signal: AbortSignal,
  mustHandOn: () => boolean,
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
    mustHandOn,
    onRequest: ({ outcome, attempt, durationMs }) =>
      metrics.observeRequest({ account: name, outcome, retry: attempt > 1, durationMs }),
  })
  metrics.observeRun(summary)
  keeping?.runEnded(name, summary)
  // It may be a day until the next full tick.
  const isStillDue = mode === 'full' && (await isFullRunLeft(database.db, summary))
  return { summary, failure: error === null ? null : toFailure(error, signal.aborted), isStillDue }
}

function toFailure(error: Error, isStopped: boolean): RunFailure {
  const code = isStopped ? 'stopped' : 'code' in error && typeof error.code === 'string' ? error.code : 'internal'
  const isPassing = error instanceof SpidraError ? error.isRetryable : !(error instanceof ForeignListError)
  return { code, message: error.message, isPassing }
}
