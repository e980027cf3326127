import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from './generated/client.js'

/** The product's handle on Postgres: Prisma over node-postgres. */
export type Database = PrismaClient

/** Connections in the pool. One writes, the others serve heartbeat, status and probes. */
const POOL_SIZE = 4

/** How long to wait for a connection, a new one or one of the pool that becomes free, in milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000

/**
 * No connection grows older, in seconds. One that began while the database was read-only stays so for good, and probes
 * would keep it busy; one to a server that is no longer the primary likewise.
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
    // A probe that outlives the closing of the database opens it again, and must not keep the process alive.
    allowExitOnIdle: true,
    application_name: options.applicationName ?? 'spidra-sync',
    // Prisma's adapter drops the offset of a timestamptz and sends none: both hold only in UTC, and in ISO form.
    onConnect: async (client) => {
      await client.query("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'")
    },
  })
  return new PrismaClient({ adapter, errorFormat: 'minimal' })
}
