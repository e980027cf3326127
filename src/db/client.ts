import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from './generated/client.js'

/** A pool of connections to Postgres: Prisma over node-postgres. */
export type Database = PrismaClient

/** Connections in the pool. One writes, the others serve the heartbeat, status and probes. */
const POOL_SIZE = 4

/** Maximum wait for a connection, new or from the pool, in milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000

/**
 * Maximum age of a connection, in seconds. A connection that began while the database was read-only stays read-only, and
 * probes would keep it from being idle and closed. The same holds for a connection to a server that is no longer the primary.
 */
const MAX_LIFETIME_SECONDS = 30

/**
 * Opens a pool on `databaseUrl`. No connection is made before the first query.
 * Close with `await db.$disconnect()`.
 */
export function openDatabase(
  databaseUrl: string,
  options: { applicationName?: string; maxLifetimeSeconds?: number; connectTimeoutMs?: number } = {},
): Database {
  const adapter = new PrismaPg({
    connectionString: databaseUrl,
    max: POOL_SIZE,
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    maxLifetimeSeconds: options.maxLifetimeSeconds ?? MAX_LIFETIME_SECONDS,
    // A probe that runs after `$disconnect` opens the pool again. That must not keep the process alive.
    allowExitOnIdle: true,
    application_name: options.applicationName ?? 'spidra-sync',
    // Prisma's adapter reads and writes a timestamptz without its offset, which is right only in UTC and in ISO form.
    onConnect: async (client) => {
      await client.query("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'")
    },
  })
  return new PrismaClient({ adapter, errorFormat: 'minimal' })
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
