import { styleText } from 'node:util'
import type { Database } from '../db/client.js'
import { readDatabaseTime } from '../db/clock.js'
import { toDatabaseError } from '../db/connection-error.js'
import { readFleet } from '../report/fleet.js'
import { toFleetText } from '../report/fleet-text.js'
import { readStatus, type StatusReport } from '../report/status.js'
import { toStatusLines } from '../report/status-lines.js'
import { type Paint, toStatusText } from '../report/status-text.js'
import { accountsToShow } from './accounts-to-show.js'
import { type CommandContext, EXIT_CODES } from './command.js'
import { openDatabaseForAccounts } from './known-account.js'

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

/** Opens the configured database, shows the status of all accounts and closes it. Returns the exit code. */
export async function runStatusCommand(
  context: CommandContext<string | null>,
  { json }: { readonly json: boolean },
): Promise<number> {
  const { stdout } = context
  const database = await openDatabaseForAccounts(context)
  const { db, databaseUrl } = database
  try {
    const [account, ...others] = accountsToShow(context)
    // Node leaves the colours out where NO_COLOR is set, or the terminal has none.
    const options = { json, stdout, ...(stdout.isTTY === true ? { paint: styleText } : {}) }
    if (others.length === 0) await showStatus(db, { account, now: await readDatabaseTime(db), ...options })
    else await showAll(db, [account, ...others], options)
    await showFleet(db, { isListed: others.length > 0, ...options })
    return EXIT_CODES.complete
  } catch (error) {
    throw toDatabaseError(error, databaseUrl) ?? error
  } finally {
    await database.close()
  }
}

/** Workers and queue, where there is a fleet. In JSON only behind several accounts: the status of one is one line. */
async function showFleet(
  db: Database,
  { json, stdout, isListed }: Pick<StatusOptions, 'json' | 'stdout'> & { readonly isListed: boolean },
): Promise<void> {
  const fleet = await readFleet(db)
  if (fleet === null) return
  if (!json) stdout.write(`\n${toFleetText(fleet)}`)
  else if (isListed) stdout.write(`${JSON.stringify({ fleet })}\n`)
}

/** Several accounts: a line each. */
async function showAll(
  db: Database,
  accounts: readonly string[],
  { json, stdout, paint }: Omit<StatusOptions, 'account' | 'now'>,
): Promise<void> {
  const reports: StatusReport[] = []
  for (const account of accounts) reports.push(await readStatus(db, { account, now: await readDatabaseTime(db) }))
  if (json) for (const report of reports) stdout.write(`${JSON.stringify(report)}\n`)
  else stdout.write(toStatusLines(reports, paint))
}
