import { PrismaPg } from '@prisma/adapter-pg'
import { CONNECT_TIMEOUT_MS, Connection, NoAnswerError, openPool, STATEMENT_DEADLINE_MS } from './connection.js'
import { Prisma, PrismaClient } from './generated/client.js'

/** A pool of connections to Postgres: Prisma over node-postgres. */
export type Database = PrismaClient

/** Connections in the pool. One writes, the others serve the heartbeat, status and probes. */
const POOL_SIZE = 4

/**
 * Maximum age of a connection, in seconds. A connection that began while the database was read-only stays read-only, and
 * probes would keep it from being idle and closed. The same holds for a connection to a server that is no longer the primary.
 */
const MAX_LIFETIME_SECONDS = 30

/** How long a statement may go on after the abort, in milliseconds: most end by themselves. */
const ABORT_GRACE_MS = 2_000

export interface DatabaseOptions {
  /** Default `spidra-sync`. */
  readonly applicationName?: string
  readonly maxLifetimeSeconds?: number
  readonly connectTimeoutMs?: number
  /** Time in which the server must answer a statement, in milliseconds. Default `STATEMENT_DEADLINE_MS`. */
  readonly deadlineMs?: number
  /** An abort ends statements that do not end by themselves within two seconds. The pool can be used on. */
  readonly signal?: AbortSignal
}

/**
 * Opens a pool on `databaseUrl`. No connection is made before the first query.
 * Close with `await db.$disconnect()`.
 */
export function openDatabase(databaseUrl: string, options: DatabaseOptions = {}): Database {
  const { deadlineMs = STATEMENT_DEADLINE_MS, signal } = options
  const pool = openPool({
    connectionString: databaseUrl,
    deadlineMs,
    onNoAnswer: cutOffIdle,
    max: POOL_SIZE,
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    maxLifetimeSeconds: options.maxLifetimeSeconds ?? MAX_LIFETIME_SECONDS,
    // A probe that runs after `$disconnect` opens the pool again. That must not keep the process alive.
    allowExitOnIdle: true,
    application_name: options.applicationName ?? 'spidra-sync',
  })
  const connections = new Set<Connection>()
  pool.on('connect', (client) => client instanceof Connection && connections.add(client))
  pool.on('remove', (client) => client instanceof Connection && connections.delete(client))

  /** What made one connection silent may have made the others silent too, and the next statement would wait as long. */
  function cutOffIdle(error: Error): void {
    for (const connection of connections) if (connection.waitingMs === null) connection.cutOff(error)
  }

  function endStatements(): void {
    const isStuck = ({ waitingMs }: Connection) => waitingMs !== null && waitingMs >= ABORT_GRACE_MS
    const error = new NoAnswerError('a statement had not ended when the process was stopped')
    for (const connection of connections) if (isStuck(connection)) connection.cutOff(error)
  }

  signal?.addEventListener('abort', () => setTimeout(endStatements, ABORT_GRACE_MS).unref(), { once: true })
  return new PrismaClient({ adapter: new PrismaPg(pool, { disposeExternalPool: true }), errorFormat: 'minimal' })
}

/** Whether the table or view exists, as in `spidra.sync_state`. Raw SQL: Prisma has no models of the catalogs. */
export async function hasTable(db: Database, name: string): Promise<boolean> {
  const [row] = await db.$queryRaw<{ exists: boolean }[]>`SELECT to_regclass(${name}) IS NOT NULL AS exists`
  return row?.exists ?? false
}

/**
 * Whether the database takes no writes: a standby, or `default_transaction_read_only` is set. Raw SQL: no model has a
 * setting.
 */
export async function isReadOnly(db: Database): Promise<boolean> {
  const [row] = await db.$queryRaw<{ isReadOnly: boolean }[]>`
    SELECT current_setting('transaction_read_only')::boolean AS "isReadOnly"`
  return row?.isReadOnly ?? false
}

/**
 * The time by the clock of the database, the one clock that all workers and readers share. Raw SQL: no model has the time.
 */
export async function readDatabaseTime(db: Database): Promise<Date> {
  const [row] = await db.$queryRaw<{ now: Date }[]>`SELECT clock_timestamp() AS now`
  if (row === undefined) throw new Error('Postgres returned no time')
  return row.now
}

/**
 * Reads the clock of the database once, and returns a function that continues it by our monotonic clock. It does not jump
 * when the clock of this machine is set. It is late rather than early: by the latency of the query, and by the time that
 * the machine slept.
 */
export async function openDatabaseClock(db: Database): Promise<() => Date> {
  const readAt = (await readDatabaseTime(db)).getTime()
  const answeredAt = performance.now()
  return () => new Date(readAt + performance.now() - answeredAt)
}

/** The column of a field: its name in snake case, as in `created_at`. */
export function toColumn(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** An instant as ISO 8601 text with microseconds, which a Date would drop. `sql` is a column, and never a value. */
export function isoText(sql: string): Prisma.Sql {
  return Prisma.sql`to_char(${Prisma.raw(sql)} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
}
