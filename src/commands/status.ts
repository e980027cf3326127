import { styleText } from 'node:util'
import type { Database } from '../db/client.js'
import { readDatabaseTime } from '../db/clock.js'
import { toDatabaseError } from '../db/connection-error.js'
import { readStatus } from '../report/status.js'
import { type Paint, toStatusText } from '../report/status-text.js'
import { type CommandContext, EXIT_CODES } from './command.js'
import { openConfiguredDatabase } from './open-database.js'

export interface StatusOptions {
  readonly account: string
  /** One line of JSON instead of text. */
  readonly json: boolean
  readonly now: Date
  /** Default: no colours. */
  readonly paint?: Paint
  readonly stdout: { write(text: string): unknown }
}

/** `spidra-sync status`: how fresh the table is, and the last runs. */
export async function showStatus(db: Database, options: StatusOptions): Promise<void> {
  const report = await readStatus(db, options)
  options.stdout.write(options.json ? `${JSON.stringify(report)}\n` : toStatusText(report, options.paint))
}

/** Opens the configured database, shows its status and closes it. Returns the exit code. */
export async function runStatusCommand(
  context: CommandContext<string | null>,
  { json }: { readonly json: boolean },
): Promise<number> {
  const { account, stdout } = context
  const database = await openConfiguredDatabase(context.config, context)
  try {
    // Node leaves the colours out where NO_COLOR is set, or the terminal has none.
    const paint = stdout.isTTY === true ? { paint: styleText } : {}
    await showStatus(database.db, { account, json, now: await readDatabaseTime(database.db), stdout, ...paint })
    return EXIT_CODES.complete
  } catch (error) {
    throw toDatabaseError(error, database.databaseUrl) ?? error
  } finally {
    await database.close()
  }
}
