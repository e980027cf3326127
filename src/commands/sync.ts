import { migrate } from '../db/migrate.js'
import type { RunStatus } from '../sync/run-summary.js'
import { runAccount } from './account-run.js'
import { type CommandContext, EXIT_CODES } from './command.js'
import { openConfiguredDatabase } from './open-database.js'
import { toRunText } from './run-text.js'
import { createSharedBudget } from './shared-budget.js'

/** `spidra-sync sync`: one run now. Returns the exit code. */
export async function runSyncCommand(
  context: CommandContext,
  flags: { readonly full: boolean; readonly json: boolean },
): Promise<number> {
  const { config, log, signal, stdout, stderr } = context
  const database = await openConfiguredDatabase(config, context)
  const progress = stderr.isTTY && !flags.json ? (await import('./progress.js')).openProgress(stderr) : null
  try {
    await migrate(database.databaseUrl, { log, signal })
    const { summary } = await runAccount({
      ...context,
      ...database,
      mode: flags.full ? 'full' : 'incremental',
      trigger: 'manual',
      sharedBudget: createSharedBudget(context.config),
      isTold: stdout.isTTY === true && !flags.json,
      ...(progress ? { onPage: progress.onPage, onWait: progress.onWait } : {}),
    })
    progress?.stop()
    stdout.write(flags.json ? `${JSON.stringify(summary)}\n` : toRunText(summary))
    return exitCodeOf(summary.status)
  } finally {
    progress?.stop()
    await database.close()
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
