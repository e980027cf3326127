import { styleText } from 'node:util'
import type { Config } from '../config/config.js'
import type { Database } from '../db/client.js'
import { toDatabaseError } from '../db/connection-error.js'
import { toFleetText } from '../report/fleet-text.js'
import { readStatusDocument, type StatusDocument } from '../report/status.js'
import { type Paint, toStatusLines, toStatusText } from '../report/status-text.js'
import { accountsToShow } from '../service/accounts.js'
import { type CommandContext, EXIT_CODES } from '../service/context.js'
import { openDatabaseForAccounts } from '../service/database.js'

interface StatusOptions {
  /** At least one. */
  readonly accounts: readonly string[]
  /** The configured one, for estimates. */
  readonly rateLimit: Config['rateLimit']
  /** One line of JSON instead of text. */
  readonly json: boolean
  /** Default: no colours. */
  readonly paint?: Paint
  readonly stdout: { write(text: string): unknown }
}

/** Shows how fresh the table is, the last runs, and the fleet if there is one. */
export async function showStatus(db: Database, options: StatusOptions): Promise<void> {
  const { accounts, rateLimit, json, stdout, paint } = options
  const document = await readStatusDocument(db, accounts, rateLimit)
  stdout.write(json ? `${JSON.stringify(document)}\n` : toText(document, paint))
}

/** Formats one account in full, several in a line each. */
function toText({ accounts, fleet }: StatusDocument, paint: Paint | undefined): string {
  const [only, ...others] = accounts
  const text = only === undefined || others.length > 0 ? toStatusLines(accounts, paint) : toStatusText(only, paint)
  return fleet === null ? text : `${text}\n${toFleetText(fleet)}`
}

/** `spidra-sync status`: shows the status of all accounts. Returns the exit code. */
export async function runStatusCommand(
  context: CommandContext<string | null>,
  { json }: { readonly json: boolean },
): Promise<number> {
  const { stdout, config } = context
  const { rateLimit } = config
  const database = await openDatabaseForAccounts(context, { mustExist: true })
  const { db, databaseUrl } = database
  try {
    const accounts = accountsToShow(context)
    // `styleText` adds no colours when NO_COLOR is set or the terminal has none.
    await showStatus(db, { accounts, rateLimit, json, stdout, ...(stdout.isTTY === true ? { paint: styleText } : {}) })
    return EXIT_CODES.complete
  } catch (error) {
    throw toDatabaseError(error, databaseUrl) ?? error
  } finally {
    await database.close()
  }
}
