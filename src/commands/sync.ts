import { FlagError } from '../config/errors.js'
import { migrate } from '../db/migrate.js'
import { wrapFor } from '../logging/printable.js'
import { createSharedBudget, runAccount, type SharedBudget } from '../service/account-run.js'
import { eachAccount } from '../service/accounts.js'
import { type CommandContext, EXIT_CODES } from '../service/context.js'
import type { OpenDatabase } from '../service/database.js'
import { assertOwnKeys, openDatabaseForAccounts } from '../service/database.js'
import { describeRun, openProgress } from '../service/run-output.js'
import type { RunStatus } from '../sync/run-summary.js'

export interface SyncFlags {
  readonly full: boolean
  /** Whether a mass removal is applied. Only with `full`. */
  readonly acceptRemovals: boolean
  readonly json: boolean
}

/** `spidra-sync sync`: runs every account once, now. Returns the exit code. */
export async function runSyncCommand(context: CommandContext<string | null>, flags: SyncFlags): Promise<number> {
  const { config, log, signal } = context
  if (flags.acceptRemovals && !flags.full) throw new FlagError('--accept-removals needs --full.')
  const database = await openDatabaseForAccounts(context)
  try {
    await migrate(database.databaseUrl, { log, signal })
    await assertOwnKeys(context.accounts, database)
    // The API counts requests by address, whatever the key, so all accounts share one budget.
    const sharedBudget = createSharedBudget(config)
    return await eachAccount(context, { isHeaded: !flags.json }, (one) => syncOne(one, database, sharedBudget, flags))
  } finally {
    await database.close()
  }
}

async function syncOne(
  context: CommandContext,
  database: OpenDatabase,
  sharedBudget: SharedBudget,
  flags: SyncFlags,
): Promise<number> {
  const { stdout, stderr } = context
  const progress = stderr.isTTY && !flags.json ? openProgress(stderr, sharedBudget.budget) : null
  try {
    const { summary, error } = await runAccount({
      ...context,
      ...database,
      mode: flags.full ? 'full' : 'incremental',
      trigger: 'manual',
      acceptRemovals: flags.acceptRemovals,
      sharedBudget,
      isSummaryShown: stdout.isTTY === true && !flags.json,
      ...(progress ? { onPage: progress.onPage, onWait: progress.onWait, onLoadWait: progress.onLoadWait } : {}),
    })
    progress?.stop()
    const text = flags.json ? `${JSON.stringify(summary)}\n` : await describeRun(database.db, summary, error)
    stdout.write(flags.json ? text : wrapFor(stdout, text))
    return exitCodeOf(summary.status)
  } finally {
    progress?.stop()
  }
}

function exitCodeOf(status: RunStatus): number {
  switch (status) {
    case 'complete':
    case 'skipped':
      return EXIT_CODES.complete
    case 'partial':
      return EXIT_CODES.partial
    case 'failed':
    case 'aborted':
      return EXIT_CODES.failed
    default:
      return status satisfies never
  }
}
