import { join } from 'node:path'
import type { Account } from '../config/accounts.js'
import { toListSource } from '../config/accounts.js'
import { ConfigError, UsageError } from '../config/errors.js'
import type { Database } from '../db/client.js'
import { toDatabaseError } from '../db/connection-error.js'
import { listStoredAccounts } from '../db/stored-accounts.js'
import { usedFor, userOf } from '../sync/own-list.js'
import { unknownAccount } from './choose-accounts.js'
import type { CommandContext } from './command.js'
import { EMBEDDED_DIRECTORY, type OpenDatabase, openConfiguredDatabase } from './open-database.js'

type Context = CommandContext<string | null>

/**
 * Opens the configured database for the accounts of the command.
 *
 * @throws {UsageError} where `--account` names an account that is neither configured nor stored
 */
export async function openDatabaseForAccounts(context: Context): Promise<OpenDatabase> {
  if (isNameOpen(context) && (await isWithoutDatabase(context)))
    throw unknownAccount(context.account, context.configured)
  const database = await openConfiguredDatabase(context.config, context)
  try {
    await assertKnownAccount(context, database.db)
    return database
  } catch (error) {
    await database.close()
    throw toDatabaseError(error, database.databaseUrl) ?? error
  }
}

/** The same check for a command that reports by itself that the database cannot be asked. */
export async function assertKnownIfReachable(context: Context): Promise<void> {
  if (!isNameOpen(context)) return
  try {
    await (await openDatabaseForAccounts(context)).close()
  } catch (error) {
    context.signal.throwIfAborted()
    if (error instanceof UsageError) throw error
  }
}

/** Whether the configuration does not know the account that `--account` names, so that the database is to be asked. */
export function isNameOpen({ named, configured }: Context): boolean {
  return named !== null && !configured.includes(named)
}

/** Whether there is nothing to ask: the embedded Postgres is made by the first run. */
async function isWithoutDatabase({ config, workingDirectory }: Context): Promise<boolean> {
  if (config.databaseUrl !== null) return false
  const { hasEmbeddedPostgres } = await import('../db/embedded/postgres.js')
  return !(await hasEmbeddedPostgres(join(workingDirectory, EMBEDDED_DIRECTORY)))
}

async function assertKnownAccount(context: Context, db: Database): Promise<void> {
  if (!isNameOpen(context)) return
  const stored = (await listStoredAccounts(db)).map(({ account }) => account)
  if (stored.includes(context.account)) return
  throw unknownAccount(context.account, [...new Set([...context.configured, ...stored])])
}

/**
 * Refuses keys that the stored jobs of an account with another name were read with, before a run would: names that were
 * exchanged, or changed by mistake.
 *
 * @throws {ConfigError} with all of them
 */
export async function assertOwnKeys(
  accounts: readonly Account[],
  { db, databaseUrl }: Pick<OpenDatabase, 'db' | 'databaseUrl'>,
): Promise<void> {
  const stored = await listStoredAccounts(db).catch((error: unknown) => {
    throw toDatabaseError(error, databaseUrl) ?? error
  })
  const problems = accounts.flatMap((account) => {
    const source = toListSource(account)
    const user = userOf(source, account.name, stored)
    return user === null ? [] : [{ variable: account.keyOrigin, problem: usedFor(account.name, user) }]
  })
  if (problems.length > 0) throw new ConfigError(problems)
}
