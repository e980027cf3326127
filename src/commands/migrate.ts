import { migrate } from '../db/migrate.js'
import { wrapFor } from '../logging/printable.js'
import { type CommandContext, EXIT_CODES } from '../service/context.js'
import { openDatabaseForAccounts } from '../service/database.js'

/** `spidra-sync migrate`: applies the migrations and ends. Returns the exit code. */
export async function runMigrateCommand(
  context: CommandContext<string | null>,
  { json }: { readonly json: boolean },
): Promise<number> {
  const database = await openDatabaseForAccounts(context)
  try {
    const report = await migrate(database.databaseUrl, context)
    const { applied, total } = report
    const done = applied.length === 0 ? 'nothing to do' : `applied ${applied.join(', ')}`
    const text = `Migrations: ${done}; the database has all ${total}.`
    context.stdout.write(`${json ? JSON.stringify(report) : wrapFor(context.stdout, text)}\n`)
    return EXIT_CODES.complete
  } finally {
    await database.close()
  }
}
