import type { Database } from '../db/client.js'
import { toDatabaseError } from '../db/connection-error.js'
import { readStatus } from '../report/status.js'
import { toStatusText } from '../report/status-text.js'
import { type CommandContext, EXIT_CODES } from './command.js'
import { openConfiguredDatabase } from './open-database.js'

export interface StatusOptions {
  readonly account: string
  /** One line of JSON instead of text. */
  readonly json: boolean
  readonly now: Date
  readonly stdout: { write(text: string): unknown }
}

/** `spidra-sync status`: how fresh the table is, and the last runs. */
export async function showStatus(db: Database, options: StatusOptions): Promise<void> {
  const report = await readStatus(db, options)
  options.stdout.write(options.json ? `${JSON.stringify(report)}\n` : toStatusText(report))
}

/** Opens the configured database, shows its status and closes it. Returns the exit code. */
export async function runStatusCommand(
  context: CommandContext<string | null>,
  { json }: { readonly json: boolean },
): Promise<number> {
  const { account, stdout } = context
  const database = await openConfiguredDatabase(context.config, context)
  try {
    await showStatus(database.db, { account, json, now: new Date(), stdout })
    return EXIT_CODES.complete
  } catch (error) {
    throw toDatabaseError(error, database.databaseUrl) ?? error
  } finally {
    await database.close()
  }
}
