import { Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { Client, DatabaseError as PostgresError } from 'pg'
import type { BaseLogger } from 'pino'
import type { Database } from './client.js'
import { assertSupportedVersion, toDatabaseError } from './connection-error.js'
import { type Migration, readMigrations } from './migration-files.js'
import { beginMigration, finishMigration, type LedgerRow, openLedger, readLedger } from './migration-ledger.js'
import { explainMissingRight } from './missing-rights.js'

/**
 * `edited`: the file is not the one that was applied. `unfinished`: the ledger says that Prisma's CLI began it and
 * failed. `failed`: it failed now, and nothing of it was kept.
 */
export type MigrationErrorCode = 'edited' | 'unfinished' | 'failed'

/** A migration that cannot be applied. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError'
  readonly code: MigrationErrorCode
  /** Directory name of the migration at fault. */
  readonly migration: string

  constructor(message: string, details: { code: MigrationErrorCode; migration: string; cause?: unknown }) {
    super(message, { cause: details.cause })
    this.code = details.code
    this.migration = details.migration
  }
}

/** What `migrate` did. */
export interface MigrationReport {
  /** Names of the migrations applied now, in order. Empty: the database was up to date, or another process did it. */
  readonly applied: readonly string[]
  /** Number of migrations that this version has. */
  readonly total: number
  /** Names of applied migrations that this version does not know: a newer version has been here. */
  readonly unknown: readonly string[]
}

export interface MigrateOptions {
  readonly log?: MigrateLog
  /** Ends the wait for another process, and rolls back the migration under way. */
  readonly signal?: AbortSignal
  /** Where the migrations are, as a URL that ends in a slash; this version's own by default. */
  readonly directory?: URL
}

type MigrateLog = Pick<BaseLogger, 'debug' | 'info' | 'warn'>

/** The key that Prisma's CLI locks too, so that `prisma migrate deploy` and we never migrate at once. */
const LOCK_KEY = 72707369

const CONNECT_TIMEOUT_MS = 10_000

/**
 * Brings the database to this version: applies the migrations that its ledger lacks, oldest first.
 *
 * Each migration is one transaction together with its ledger row, and holds the lock for just that long. So a process
 * that dies leaves neither half a migration nor a lock, and of several processes that start at once one applies each
 * migration, even through a transaction-pooling proxy.
 *
 * @throws {MigrationError} when a migration was edited after it was applied, or fails
 * @throws {DatabaseError} when the server cannot be reached or used, or is too old
 */
export async function migrate(databaseUrl: string, options: MigrateOptions = {}): Promise<MigrationReport> {
  const { log, signal, directory } = options
  const migrations = await readMigrations(directory)
  signal?.throwIfAborted()
  // Our own socket: one that is still connecting, node-postgres would not let go of.
  const socket = new Socket()
  const client = new Client({
    connectionString: databaseUrl,
    stream: () => socket,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'spidra-sync migrate',
    keepAlive: true,
  })
  // Without a listener a lost connection would end the process; the query under way rejects as well.
  client.on('error', (err) => log?.debug({ err }, 'migration connection lost'))
  const disconnect = () => void socket.destroy()
  signal?.addEventListener('abort', disconnect, { once: true })
  try {
    await client.connect()
    await assertSupportedVersion(client, databaseUrl)
    const applied: string[] = []
    for (;;) {
      const { next, ledger } = await applyNext(client, migrations, log)
      signal?.throwIfAborted()
      if (next === undefined) return { applied, total: migrations.length, unknown: toUnknown(migrations, ledger, log) }
      applied.push(next.name)
    }
  } catch (error) {
    signal?.throwIfAborted()
    const cause = error instanceof MigrationError ? error.cause : error
    const explained = await explainMissingRight(cause, client, databaseUrl)
    throw explained ?? (error instanceof MigrationError ? error : (toDatabaseError(error, databaseUrl) ?? error))
  } finally {
    signal?.removeEventListener('abort', disconnect)
    await client.end().catch(() => undefined)
  }
}

/** Names of this version's migrations that the database lacks. An edited or unfinished one throws, as in `migrate`. */
export async function pendingMigrations(db: Database, directory?: URL): Promise<readonly string[]> {
  const [migrations, ledger] = await Promise.all([readMigrations(directory), readLedger(db)])
  return toPending(migrations, ledger).map((migration) => migration.name)
}

async function applyNext(client: Client, migrations: readonly Migration[], log: MigrateLog | undefined) {
  const startedAt = performance.now()
  await client.query('BEGIN')
  try {
    // A role's time limit is meant for queries, not for waiting here or for building an index.
    await client.query('SET LOCAL statement_timeout = 0')
    await lock(client, log)
    const ledger = await openLedger(client)
    const next = toPending(migrations, ledger)[0]
    if (next !== undefined) await apply(client, next)
    await client.query('COMMIT')
    const durationMs = Math.round(performance.now() - startedAt)
    if (next !== undefined) log?.info({ migration: next.name, durationMs }, 'migration applied')
    return { next, ledger }
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw error
  }
}

async function lock(client: Client, log: MigrateLog | undefined): Promise<void> {
  const { rows } = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS locked', [LOCK_KEY])
  if (rows[0]?.locked) return
  log?.info('waiting for another process that migrates')
  // A role's lock_timeout is meant for tables; there it counts again.
  await client.query('SET LOCAL lock_timeout = 0')
  await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK_KEY])
  await client.query('SET LOCAL lock_timeout TO DEFAULT')
}

async function apply(client: Client, migration: Migration): Promise<void> {
  await beginMigration(client, migration)
  try {
    await client.query(migration.sql)
  } catch (cause) {
    if (!(cause instanceof PostgresError)) throw cause
    throw new MigrationError(
      `Migration ${migration.name} failed and was rolled back: ${cause.message} (SQLSTATE ${cause.code}). ` +
        'Mend the cause and start again.',
      { code: 'failed', migration: migration.name, cause },
    )
  }
  await finishMigration(client, migration)
}

/** What is to be applied, in order. Throws when files and ledger contradict each other. */
function toPending(migrations: readonly Migration[], ledger: readonly LedgerRow[]): readonly Migration[] {
  const rows = new Map(ledger.map((row) => [row.name, row]))
  return migrations.filter(({ name, checksum }) => {
    const row = rows.get(name)
    if (row === undefined) return true
    if (!row.isFinished) {
      throw new MigrationError(
        `Migration ${name} was begun by Prisma's CLI and did not finish. See what it left behind, mark it with ` +
          `\`prisma migrate resolve --rolled-back ${name}\` (or --applied), and start again.`,
        { code: 'unfinished', migration: name },
      )
    }
    if (row.checksum === checksum) return false
    throw new MigrationError(
      `Migration ${name} was edited after it was applied. Restore prisma/migrations/${name}/migration.sql as it was ` +
        'released, for example by installing spidra-sync again.',
      { code: 'edited', migration: name },
    )
  })
}

function toUnknown(migrations: readonly Migration[], ledger: readonly LedgerRow[], log: MigrateLog | undefined) {
  const known = new Set(migrations.map((migration) => migration.name))
  const unknown = ledger.map((row) => row.name).filter((name) => !known.has(name))
  // Migrations only add, so an older version still works: two versions may share a database during an upgrade.
  if (unknown.length > 0) log?.warn({ unknown }, 'database was migrated by a newer version')
  return unknown
}
