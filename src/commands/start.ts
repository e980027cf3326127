import { once } from 'node:events'
import { migrate } from '../db/migrate.js'
import { type CommandContext, EXIT_CODES } from './command.js'
import { openConfiguredDatabase } from './open-database.js'
import { startService } from './service.js'

/** `spidra-sync start`: the service; runs until the signal aborts. */
export async function runStartCommand(context: CommandContext): Promise<number> {
  const { config, log, signal, version } = context
  log.info({ version, account: context.account }, 'service starting')
  const database = await openConfiguredDatabase(config, context)
  try {
    await migrate(database.databaseUrl, { log, signal })
    await using _service = await startService(context, database)
    if (!signal.aborted) await once(signal, 'abort')
    log.info('service stopping')
  } finally {
    await database.close()
  }
  log.info('service stopped')
  return EXIT_CODES.complete
}
