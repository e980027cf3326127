import { writeFile } from 'node:fs/promises'
import { UsageError } from '../config/errors.js'
import type { Database } from '../db/client.js'
import { toDatabaseError } from '../db/connection-error.js'
import { pendingMigrations } from '../db/migrate.js'
import { errorCodeOf } from '../logging/error-code.js'
import { readDashboard } from '../report/dashboard-data.js'
import { toReportText } from '../report/report-text.js'
import { accountsToShow, toHeading } from '../service/accounts.js'
import { type CommandContext, EXIT_CODES, listNames } from '../service/context.js'
import { openDatabaseForAccounts } from '../service/database.js'

export interface ReportFlags {
  /** UTC days, today included. */
  readonly days: number
  /** One line of JSON instead of text. */
  readonly json: boolean
  /** File to write the numbers to, as an HTML page. */
  readonly html?: string
}

/** The exact numbers of millions of jobs take minutes. Longer than the limit that Postgres itself keeps for them. */
const EXACT_DEADLINE_MS = 330_000

/** `spidra-sync report`: shows the numbers of the dashboard, computed from every job. Returns the exit code. */
export async function runReportCommand(context: CommandContext<string | null>, flags: ReportFlags): Promise<number> {
  const { stdout } = context
  if (flags.html !== undefined && context.accounts.length > 1) {
    throw new UsageError(
      `--html writes one account into a file; name it with --account: ${listNames(context.accounts.map(({ name }) => name))}.`,
    )
  }
  const database = await openDatabaseForAccounts(context, { mustExist: true, deadlineMs: EXACT_DEADLINE_MS })
  try {
    if ((await pendingMigrations(database.db)).length > 0) {
      throw new UsageError('The database is not up to date; run "spidra-sync migrate" first.')
    }
    const accounts = accountsToShow(context)
    for (const [index, account] of accounts.entries()) {
      if (accounts.length > 1 && !flags.json) stdout.write(toHeading(account, index))
      await reportOne(database.db, account, flags, context)
    }
    return EXIT_CODES.complete
  } catch (error) {
    throw toDatabaseError(error, database.databaseUrl) ?? error
  } finally {
    await database.close()
  }
}

async function reportOne(
  db: Database,
  account: string,
  { days, json, html }: ReportFlags,
  { stdout, config: { rateLimit } }: CommandContext<string | null>,
): Promise<void> {
  const data = await readDashboard(db, { account, channel: null, days }, { isExact: true, rateLimit })
  if (html !== undefined) {
    // It brings the chart library along.
    const { toReportFile } = await import('../report/page.js')
    await writeReport(html, toReportFile(data))
  }
  if (json) stdout.write(`${JSON.stringify(data)}\n`)
  else if (html === undefined) stdout.write(toReportText(data))
  else stdout.write(`Written: ${html}\n`)
}

async function writeReport(path: string, page: string): Promise<void> {
  try {
    await writeFile(path, page)
  } catch (error) {
    throw new UsageError(`The report cannot be written to ${path} (${errorCodeOf(error) ?? 'unknown error'}).`, {
      cause: error,
    })
  }
}
