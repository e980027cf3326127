import { writeFile } from 'node:fs/promises'
import { toDatabaseError } from '../db/connection-error.js'
import { pendingMigrations } from '../db/migrate.js'
import { readDashboard } from '../report/dashboard-data.js'
import { toReportText } from '../report/report-text.js'
import { UsageError } from '../usage-error.js'
import { type CommandContext, EXIT_CODES } from './command.js'
import { openConfiguredDatabase } from './open-database.js'

export interface ReportFlags {
  /** UTC days, today included. */
  readonly days: number
  /** One line of JSON instead of text. */
  readonly json: boolean
  /** Also write a page into this file. */
  readonly html?: string
}

/** `spidra-sync report`: the numbers of the dashboard, reckoned with every job. Returns the exit code. */
export async function runReportCommand(
  context: CommandContext<string | null>,
  { days, json, html }: ReportFlags,
): Promise<number> {
  const { account, stdout } = context
  const database = await openConfiguredDatabase(context.config, context)
  try {
    if ((await pendingMigrations(database.db)).length > 0) {
      throw new UsageError('The database is not up to date; run "spidra-sync migrate" first.')
    }
    const data = await readDashboard(database.db, { account, channel: null, days }, { isExact: true })
    if (html !== undefined) {
      // It brings the chart library along.
      const { toReportFile } = await import('../report/report-file.js')
      await writeReport(html, toReportFile(data))
    }
    if (json) stdout.write(`${JSON.stringify(data)}\n`)
    else if (html === undefined) stdout.write(toReportText(data))
    else stdout.write(`Written: ${html}\n`)
    return EXIT_CODES.complete
  } catch (error) {
    throw toDatabaseError(error, database.databaseUrl) ?? error
  } finally {
    await database.close()
  }
}

async function writeReport(path: string, page: string): Promise<void> {
  try {
    await writeFile(path, page)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    throw new UsageError(`The report cannot be written to ${path} (${code}).`, { cause: error })
  }
}
