import { join } from 'node:path'
import type { Config } from '../config/config.js'
import { type Database, openDatabase } from '../db/client.js'
import type { Logger } from '../logging/logger.js'

/** The embedded Postgres of a working directory. */
export const EMBEDDED_DIRECTORY = '.spidra-sync'

/** The configured database; close it when the command ends. */
export interface OpenDatabase {
  readonly db: Database
  readonly databaseUrl: string
  close(): Promise<void>
}

/** Opens `DATABASE_URL`, or without it the embedded Postgres under `workingDirectory`, and says so. */
export async function openConfiguredDatabase(
  { databaseUrl }: Pick<Config<string | null>, 'databaseUrl'>,
  options: { readonly workingDirectory: string; readonly log: Logger; readonly signal: AbortSignal },
): Promise<OpenDatabase> {
  if (databaseUrl !== null) {
    const db = openDatabase(databaseUrl)
    return { db, databaseUrl, close: () => db.$disconnect() }
  }
  const { openEmbeddedPostgres } = await import('../db/embedded/postgres.js')
  const { log, signal } = options
  const directory = join(options.workingDirectory, EMBEDDED_DIRECTORY)
  const embedded = await openEmbeddedPostgres({ directory, log, signal })
  log.warn({ directory: embedded.directory, port: embedded.port }, 'no DATABASE_URL: using the embedded postgres')
  const db = openDatabase(embedded.url)
  return {
    db,
    databaseUrl: embedded.url,
    async close() {
      await db.$disconnect()
      await embedded.close()
    },
  }
}
