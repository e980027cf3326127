import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { performance } from 'node:perf_hooks'
import { DatabaseError as PostgresError } from 'pg'
import type { BaseLogger } from 'pino'
import type { Database } from './client.js'
import { Connection } from './connection.js'
import { assertUsableDatabase, explainMissingRight, toDatabaseError } from './connection-error.js'

/**
 * `edited`: the file differs from the one that was applied. `unfinished`: Prisma's CLI began the migration and failed.
 * `failed`: Postgres refused it now, and it was rolled back.
 */
export type MigrationErrorCode = 'edited' | 'unfinished' | 'failed'

/** A migration that cannot be applied. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError'
  readonly code: MigrationErrorCode
  /** Directory name of the migration. */
  readonly migration: string

  constructor(message: string, details: { code: MigrationErrorCode; migration: string; cause?: unknown }) {
    super(message, { cause: details.cause })
    this.code = details.code
    this.migration = details.migration
  }
}

/** One directory of `prisma/migrations`. */
interface Migration {
  /** Name of the directory, such as `20261123000000_init`. Migrations are applied in the order of their names. */
  readonly name: string
  readonly sql: string
  /** SHA-256 of the SQL in hexadecimal, as in Prisma's ledger. */
  readonly checksum: string
}

/** A row of the ledger: a migration that was begun and not rolled back. */
interface LedgerRow {
  readonly name: string
  readonly checksum: string
  /** False: Prisma's CLI began it and failed. Our own runner leaves no such row. */
  readonly isFinished: boolean
}

/** The result of `migrate`. */
export interface MigrationReport {
  /** Names of the migrations applied by this call, in order. Empty: the database was up to date. */
  readonly applied: readonly string[]
  /** Number of migrations that this version has. */
  readonly total: number
  /** Names of applied migrations that this version does not have: a newer version migrated the database. */
  readonly unknown: readonly string[]
}

/** The migrations of this version compared with those of the database. */
export interface MigrationStatus extends Pick<MigrationReport, 'total' | 'unknown'> {
  /** Names of the migrations that the database lacks, in order. */
  readonly pending: readonly string[]
}

export interface MigrateOptions {
  readonly log?: MigrateLog
  /** Ends the wait for another process, and rolls back the current migration. */
  readonly signal?: AbortSignal
  /** URL of the migrations' directory, with a slash at the end. Default: the migrations of this version. */
  readonly directory?: URL
}

type MigrateLog = Pick<BaseLogger, 'debug' | 'info' | 'warn'>

/** `dist/` and `src/` have the same depth, so the path holds in a checkout and in the npm package. */
const MIGRATIONS = new URL('../../prisma/migrations/', import.meta.url)

/** Prisma's CLI locks the same key, so `prisma migrate deploy` and this runner never migrate at once. */
const LOCK_KEY = 72707369

const LEDGER_EXISTS = `SELECT to_regclass('spidra._prisma_migrations') IS NOT NULL AS exists`

const READ_LEDGER = `
  SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS "isFinished"
  FROM spidra._prisma_migrations
  WHERE rolled_back_at IS NULL
  ORDER BY started_at`

/** Creates Prisma's own table, column for column, so that its CLI can continue after this runner. */
const CREATE_LEDGER = `
  DO $$
  BEGIN
    IF to_regnamespace('spidra') IS NULL THEN
      CREATE SCHEMA spidra;
    END IF;
  END
  $$;
  CREATE TABLE spidra._prisma_migrations (
    id                  varchar(36)  PRIMARY KEY,
    checksum            varchar(64)  NOT NULL,
    finished_at         timestamptz,
    migration_name      varchar(255) NOT NULL,
    logs                text,
    rolled_back_at      timestamptz,
    started_at          timestamptz  NOT NULL DEFAULT now(),
    applied_steps_count integer      NOT NULL DEFAULT 0
  );
  COMMENT ON TABLE spidra._prisma_migrations IS 'Migrations applied to this database, in the format of Prisma.'`

/** clock_timestamp(), because the transaction may be older than those that it waited for. */
const BEGIN_MIGRATION = `
  INSERT INTO spidra._prisma_migrations (id, checksum, migration_name, started_at)
  VALUES (gen_random_uuid(), $1, $2, clock_timestamp())`

const FINISH_MIGRATION = `
  UPDATE spidra._prisma_migrations SET finished_at = clock_timestamp(), applied_steps_count = 1
  WHERE migration_name = $1 AND finished_at IS NULL AND rolled_back_at IS NULL`

/**
 * Brings the database to this version: applies the migrations that its ledger lacks, oldest first.
 *
 * Each migration and its ledger row are one transaction, which holds the lock only that long. A killed process leaves
 * neither half a migration nor a lock. Of several processes that start at once, one applies each migration, also through
 * a transaction-pooling proxy.
 *
 * @throws {MigrationError} when a migration was edited after it was applied, or fails
 * @throws {DatabaseError} when the server cannot be reached or used, is too old, or has a database that is not UTF-8
 */
export async function migrate(databaseUrl: string, options: MigrateOptions = {}): Promise<MigrationReport> {
  const { log, signal, directory } = options
  const migrations = await readMigrations(directory)
  signal?.throwIfAborted()
  const client = new Connection({ connectionString: databaseUrl, application_name: 'spidra-sync migrate' })
  client.on('error', (err) => log?.debug({ err }, 'migration connection lost'))
  const disconnect = () => client.cutOff(new Error('The process was asked to stop'))
  signal?.addEventListener('abort', disconnect, { once: true })
  try {
    await client.connect()
    await assertUsableDatabase(client, databaseUrl)
    const applied: string[] = []
    for (;;) {
      const { next, ledger } = await applyNext(client, migrations, log)
      signal?.throwIfAborted()
      if (next !== undefined) {
        applied.push(next.name)
        continue
      }
      const unknown = findUnknown(migrations, ledger)
      // Migrations only add, so an older version still works: two versions may share a database during an upgrade.
      if (unknown.length > 0) log?.warn({ unknown }, 'database was migrated by a newer version')
      return { applied, total: migrations.length, unknown }
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

/**
 * Compares the migrations of this version with the ledger of the database. Changes nothing.
 *
 * @throws {MigrationError} for an edited or unfinished migration, as `migrate` does
 */
export async function readMigrationStatus(db: Database, directory?: URL): Promise<MigrationStatus> {
  const [migrations, ledger] = await Promise.all([readMigrations(directory), readLedger(db)])
  const pending = findPending(migrations, ledger).map(({ name }) => name)
  return { pending, unknown: findUnknown(migrations, ledger), total: migrations.length }
}

/** Names of this version's migrations that the database lacks. Throws as `readMigrationStatus` does. */
export async function pendingMigrations(db: Database, directory?: URL): Promise<readonly string[]> {
  return (await readMigrationStatus(db, directory)).pending
}

/** Drops everything that the migrations made. For the demo, whose data can be made again. */
export async function dropSchemas(databaseUrl: string): Promise<void> {
  const client = new Connection({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query(
      'SET LOCAL client_min_messages = warning; DROP SCHEMA IF EXISTS spidra, spidra_reporting CASCADE',
    )
  } finally {
    await client.end()
  }
}

/** Reads the migrations of this version, oldest first. `directory` must end in a slash. */
export async function readMigrations(directory: URL = MIGRATIONS): Promise<readonly Migration[]> {
  const entries = await readdir(directory, { withFileTypes: true })
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  return Promise.all(names.sort().map((name) => readMigration(directory, name)))
}

async function readMigration(directory: URL, name: string): Promise<Migration> {
  const text = await readFile(new URL(`${encodeURIComponent(name)}/migration.sql`, directory), 'utf8')
  // A checkout on Windows may have CRLF. Prisma ignores that difference too.
  const sql = text.replaceAll('\r\n', '\n')
  return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
}

/** Reads the ledger; empty where there is none. Raw SQL: Prisma has no model of its own ledger. */
async function readLedger(db: Database): Promise<readonly LedgerRow[]> {
  const [ledger] = await db.$queryRawUnsafe<{ exists: boolean }[]>(LEDGER_EXISTS)
  return ledger?.exists ? db.$queryRawUnsafe<LedgerRow[]>(READ_LEDGER) : []
}

/** Reads the ledger inside the transaction of `client`. Creates it where there is none. */
async function openLedger(client: Connection): Promise<readonly LedgerRow[]> {
  const { rows } = await client.query<{ exists: boolean }>(LEDGER_EXISTS)
  if (!rows[0]?.exists) await client.query(CREATE_LEDGER)
  return (await client.query<LedgerRow>(READ_LEDGER)).rows
}

async function applyNext(client: Connection, migrations: readonly Migration[], log: MigrateLog | undefined) {
  const startedAt = performance.now()
  await client.query('BEGIN')
  try {
    // A role's statement_timeout is meant for queries, not for this wait or for building an index.
    await client.query('SET LOCAL statement_timeout = 0')
    await lock(client, log)
    const ledger = await openLedger(client)
    const next = findPending(migrations, ledger)[0]
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

async function lock(client: Connection, log: MigrateLog | undefined): Promise<void> {
  const { rows } = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_xact_lock($1) AS locked', [LOCK_KEY])
  if (rows[0]?.locked) return
  log?.info('waiting for another process that migrates')
  // A role's lock_timeout is meant for tables. It applies again after this wait.
  await client.query('SET LOCAL lock_timeout = 0')
  await client.unhurried(() => client.query('SELECT pg_advisory_xact_lock($1)', [LOCK_KEY]))
  await client.query('SET LOCAL lock_timeout TO DEFAULT')
}

/** Applies a migration and records it, inside the transaction of `client`: nobody else sees an unfinished row of ours. */
async function apply(client: Connection, { name, sql, checksum }: Migration): Promise<void> {
  await client.query(BEGIN_MIGRATION, [checksum, name])
  try {
    // Building an index on a large table may take any time.
    await client.unhurried(() => client.query(sql))
  } catch (cause) {
    if (!(cause instanceof PostgresError)) throw cause
    throw new MigrationError(
      `Migration ${name} failed and was rolled back: ${cause.message} (SQLSTATE ${cause.code}). ` +
        'Fix the cause and start again.',
      { code: 'failed', migration: name, cause },
    )
  }
  await client.query(FINISH_MIGRATION, [name])
}

/** The migrations that the ledger lacks, in order. Throws when files and ledger contradict each other. */
function findPending(migrations: readonly Migration[], ledger: readonly LedgerRow[]): readonly Migration[] {
  const rows = new Map(ledger.map((row) => [row.name, row]))
  return migrations.filter(({ name, checksum }) => {
    const row = rows.get(name)
    if (row === undefined) return true
    if (!row.isFinished) {
      throw new MigrationError(
        `Prisma's CLI began migration ${name} and did not finish it. Check what it left behind, mark it with ` +
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

function findUnknown(migrations: readonly Migration[], ledger: readonly LedgerRow[]): readonly string[] {
  const known = new Set(migrations.map(({ name }) => name))
  return ledger.map(({ name }) => name).filter((name) => !known.has(name))
}
