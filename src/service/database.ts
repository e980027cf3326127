import { join, relative } from 'node:path'
import { type Account, toListSource } from '../config/accounts.js'
import type { Config } from '../config/config.js'
import { ConfigError, UsageError } from '../config/errors.js'
import { type Database, openDatabase } from '../db/client.js'
import { toDatabaseError } from '../db/connection-error.js'
import { listStoredAccounts } from '../db/stored-accounts.js'
import type { Logger } from '../logging/logger.js'
import { usedFor, userOf } from '../sync/foreign-list.js'
import { type CommandContext, EMBEDDED_DIRECTORIES, unknownAccount } from './context.js'

type Context = CommandContext<string | null>

/** The configured database. The command closes it at its end. */
export interface OpenDatabase {
  readonly db: Database
  readonly databaseUrl: string
  close(): Promise<void>
}

interface OpenOptions {
  /** See `DatabaseOptions`. */
  readonly deadlineMs?: number
  /** For a command that makes no sense on an empty database: no embedded Postgres is created. Default false. */
  readonly mustExist?: boolean
}

/** Opens `DATABASE_URL`. Without it, starts the embedded Postgres in `embeddedDirectory`, and logs that. */
export async function openConfiguredDatabase(
  { databaseUrl }: Pick<Config<string | null>, 'databaseUrl'>,
  options: {
    readonly embeddedDirectory: string
    /** As in `CommandContext`. */
    readonly self: string
    readonly log: Logger
    readonly signal: AbortSignal
  } & OpenOptions,
): Promise<OpenDatabase> {
  const { log, signal } = options
  const limits = options.deadlineMs === undefined ? { signal } : { signal, deadlineMs: options.deadlineMs }
  if (databaseUrl !== null) {
    const db = openDatabase(databaseUrl, limits)
    return { db, databaseUrl, close: () => db.$disconnect() }
  }
  const { openEmbeddedPostgres } = await import('../db/embedded/postgres.js')
  const embedded = await openEmbeddedPostgres({ directory: options.embeddedDirectory, log, signal })
  const level = options.mustExist ? 'debug' : 'warn'
  const { directory, port } = embedded
  log[level]({ directory, port, query: `${options.self} psql` }, 'no DATABASE_URL: using the embedded postgres')
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
 * @throws {UsageError} when `--account` names an account that is neither configured nor stored, or the database must exist, and
 *   there is neither DATABASE_URL nor an embedded Postgres
 */
export async function openDatabaseForAccounts(context: Context, options: OpenOptions = {}): Promise<OpenDatabase> {
  // The first run creates the embedded Postgres. Before that, it knows no account, and need not be started.
  if (mustLookUpName(context) && !(await hasDatabase(context))) {
    throw unknownAccount(context.account, context.configured)
  }
  if (options.mustExist && !(await hasDatabase(context))) throw await noDatabase(context)
  const database = await openConfiguredDatabase(context.config, { ...context, ...options })
  try {
    await assertKnownAccount(context, database.db)
    return database
  } catch (error) {
    await database.close()
    throw toDatabaseError(error, database.databaseUrl) ?? error
  }
}

/** The error for a command that reads where nothing can be read yet. It names the demo of this folder, if there is one. */
async function noDatabase({ embeddedDirectory }: Pick<Context, 'embeddedDirectory'>): Promise<UsageError> {
  const { hasEmbeddedPostgres } = await import('../db/embedded/postgres.js')
  const { service, demo, demoFleet } = EMBEDDED_DIRECTORIES
  const demos = [demo, demoFleet].map((directory) => join(embeddedDirectory, relative(service, directory)))
  const hasDemo = (await Promise.all(demos.map(hasEmbeddedPostgres))).includes(true)
  const hint = hasDemo ? ' Or add --demo: the demo in this folder has a database.' : ''
  return new UsageError(
    `There is no database yet: DATABASE_URL is not set, and no embedded Postgres was made in ${embeddedDirectory}. Set DATABASE_URL, or run "spidra-sync start" or "spidra-sync sync" in this folder first.${hint}`,
  )
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

/** Whether there is a database to open, DATABASE_URL or an embedded Postgres. Creates and starts nothing. */
export async function hasDatabase({ config, embeddedDirectory }: Context): Promise<boolean> {
  if (config.databaseUrl !== null) return true
  const { hasEmbeddedPostgres } = await import('../db/embedded/postgres.js')
  return hasEmbeddedPostgres(embeddedDirectory)
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
