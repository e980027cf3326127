import { join } from 'node:path'
import { type Account, toListSource } from '../config/accounts.js'
import type { Config } from '../config/config.js'
import { ConfigError, UsageError } from '../config/errors.js'
import { type Database, openDatabase } from '../db/client.js'
import { toDatabaseError } from '../db/connection-error.js'
import { listStoredAccounts } from '../db/stored-accounts.js'
import type { Logger } from '../logging/logger.js'
import { usedFor, userOf } from '../sync/foreign-list.js'
import { type CommandContext, unknownAccount } from './context.js'

type Context = CommandContext<string | null>

/** The directory of the embedded Postgres, below the working directory. */
export const EMBEDDED_DIRECTORY = '.spidra-sync'

/** The configured database. The command closes it at its end. */
export interface OpenDatabase {
  readonly db: Database
  readonly databaseUrl: string
  close(): Promise<void>
}

/** Opens `DATABASE_URL`. Without it, starts the embedded Postgres under `workingDirectory`, and logs that. */
export async function openConfiguredDatabase(
  { databaseUrl }: Pick<Config<string | null>, 'databaseUrl'>,
  options: {
    readonly workingDirectory: string
    readonly log: Logger
    readonly signal: AbortSignal
    /** See `DatabaseOptions`. */
    readonly deadlineMs?: number
  },
): Promise<OpenDatabase> {
  const { log, signal } = options
  const limits = options.deadlineMs === undefined ? { signal } : { signal, deadlineMs: options.deadlineMs }
  if (databaseUrl !== null) {
    const db = openDatabase(databaseUrl, limits)
    return { db, databaseUrl, close: () => db.$disconnect() }
  }
  const { openEmbeddedPostgres } = await import('../db/embedded/postgres.js')
  const directory = join(options.workingDirectory, EMBEDDED_DIRECTORY)
  const embedded = await openEmbeddedPostgres({ directory, log, signal })
  log.warn({ directory: embedded.directory, port: embedded.port }, 'no DATABASE_URL: using the embedded postgres')
  const db = openDatabase(embedded.url, limits)
  return {
    db,
    databaseUrl: embedded.url,
    async close() {
      await db.$disconnect()
      await embedded.close()
    },
  }
}

/**
 * Opens the configured database for the accounts of the command.
 *
 * @throws {UsageError} when `--account` names an account that is neither configured nor stored
 */
export async function openDatabaseForAccounts(
  context: Context,
  limits: { readonly deadlineMs?: number } = {},
): Promise<OpenDatabase> {
  // The first run creates the embedded Postgres. Before that, it knows no account, and need not be started.
  if (mustLookUpName(context) && !(await hasDatabase(context))) {
    throw unknownAccount(context.account, context.configured)
  }
  const database = await openConfiguredDatabase(context.config, { ...context, ...limits })
  try {
    await assertKnownAccount(context, database.db)
    return database
  } catch (error) {
    await database.close()
    throw toDatabaseError(error, database.databaseUrl) ?? error
  }
}

/** Makes the same check, and ignores a database that cannot be reached, for a command that reports that itself. */
export async function assertKnownIfReachable(context: Context): Promise<void> {
  if (!mustLookUpName(context)) return
  try {
    await (await openDatabaseForAccounts(context)).close()
  } catch (error) {
    context.signal.throwIfAborted()
    if (error instanceof UsageError) throw error
  }
}

/** Whether `--account` names an account that is not configured, so that only the database can know it. */
export function mustLookUpName({ named, configured }: Context): boolean {
  return named !== null && !configured.includes(named)
}

async function hasDatabase({ config, workingDirectory }: Context): Promise<boolean> {
  if (config.databaseUrl !== null) return true
  const { hasEmbeddedPostgres } = await import('../db/embedded/postgres.js')
  return hasEmbeddedPostgres(join(workingDirectory, EMBEDDED_DIRECTORY))
}

async function assertKnownAccount(context: Context, db: Database): Promise<void> {
  if (!mustLookUpName(context)) return
  const stored = (await listStoredAccounts(db)).map(({ account }) => account)
  if (stored.includes(context.account)) return
  throw unknownAccount(context.account, [...new Set([...context.configured, ...stored])])
}

/**
 * Refuses a key that the stored jobs of another account were read with, before a run writes anything: two names were
 * swapped, or a name was changed by mistake.
 *
 * @throws {ConfigError} with all such keys
 */
export async function assertOwnKeys(
  accounts: readonly Account[],
  { db, databaseUrl }: Pick<OpenDatabase, 'db' | 'databaseUrl'>,
): Promise<void> {
  const stored = await listStoredAccounts(db).catch((error: unknown) => {
    throw toDatabaseError(error, databaseUrl) ?? error
  })
  const problems = accounts.flatMap((account) => {
    const user = userOf(toListSource(account), account.name, stored)
    return user === null ? [] : [{ variable: account.keyOrigin, problem: usedFor(account.name, user) }]
  })
  if (problems.length > 0) throw new ConfigError(problems)
}
