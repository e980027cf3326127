import { migrate } from '../db/migrate.js'
import { type CommandContext, EXIT_CODES } from '../service/context.js'
import { openDatabaseForAccounts } from '../service/database.js'

/** `spidra-sync migrate`: applies the migrations and ends. Returns the exit code. */
export async function runMigrateCommand(context: CommandContext<string | null>): Promise<number> {
  const database = await openDatabaseForAccounts(context)
  try {
    const { applied, total } = await migrate(database.databaseUrl, context)
    const done = applied.length === 0 ? 'nothing to do' : `applied ${applied.join(', ')}`
    context.stdout.write(`Migrations: ${done}; the database has all ${total}.\n`)
    return EXIT_CODES.complete
  } finally {
    await database.close()
  }
}
