import { createHash } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { PrismaPg } from '@prisma/adapter-pg'
import type { QueryResultRow } from 'pg'
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

/** Deadline of a statement that begins after the abort, such as the one that closes a record, in milliseconds. */
const LAST_DEADLINE_MS = 4_000

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
    deadlineMs: () => (signal?.aborted ? Math.min(deadlineMs, LAST_DEADLINE_MS) : deadlineMs),
    onCutOff: cutOffIdle,
    max: POOL_SIZE,
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    maxLifetimeSeconds: options.maxLifetimeSeconds ?? MAX_LIFETIME_SECONDS,
    // A probe that runs after `$disconnect` opens another pool. That must not keep the process alive.
    allowExitOnIdle: true,
    application_name: options.applicationName ?? 'spidra-sync',
  })
  const connections = new Set<Connection>()
  const idle = new Set<Connection>()
  const onEach = (event: 'connect' | 'acquire' | 'remove', act: (connection: Connection) => void) =>
    pool.on(event, (client) => client instanceof Connection && act(client))
  onEach('connect', (connection) => connections.add(connection))
  onEach('acquire', (connection) => idle.delete(connection))
  onEach('remove', (connection) => {
    idle.delete(connection)
    connections.delete(connection)
  })
  pool.on('release', (error, client) => !error && client instanceof Connection && idle.add(client))

  /** What made one connection silent may have made the others silent too, and the next statement would wait as long. */
  function cutOffIdle(error: Error): void {
    for (const connection of idle) connection.cutOff(error)
  }

  /** Ends the statements that were under way at the abort. Later ones have a short deadline. */
  function endStatements(): void {
    const isStuck = ({ waitingMs }: Connection) => waitingMs !== null && waitingMs >= ABORT_GRACE_MS
    const error = new NoAnswerError('a statement had not ended when the process was stopped')
    for (const connection of connections) if (isStuck(connection)) connection.cutOff(error)
  }

  if (signal !== undefined) {
    // A command may open a pool for each account.
    setMaxListeners(0, signal)
    signal.addEventListener('abort', () => setTimeout(endStatements, ABORT_GRACE_MS).unref(), { once: true })
  }
  const adapter = new PrismaPg(pool, { disposeExternalPool: true, statementNameGenerator: ({ sql }) => nameOf(sql) })
  const db = new PrismaClient({ adapter, errorFormat: 'minimal' })
  largeQueries.set(
    db,
    async <Row extends QueryResultRow>({ text, values }: Prisma.Sql) =>
      (await pool.query<Row>({ text, values, name: nameOf(text) })).rows,
  )
  return db
}

const PREPARED_TEXT = '/* prepared */'

/**
 * Begins a statement that each connection prepares once, so that Postgres keeps its plan. The plan may have been made while
 * the tables were empty, and the text must not vary.
 */
export const PREPARED = Prisma.raw(PREPARED_TEXT)

/** Names of prepared statements by their text. The same name stands for the same text in every version of this program. */
const names = new Map<string, string>()

/** The name under which a statement is prepared; empty: it is not. */
function nameOf(text: string): string {
  if (!text.startsWith(PREPARED_TEXT)) return ''
  const name = names.get(text) ?? `spidra_sync_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`
  names.set(text, name)
  return name
}

/** Runs a statement, and returns its rows. */
type LargeQuery = <Row extends QueryResultRow>(statement: Prisma.Sql) => Promise<Row[]>

const largeQueries = new WeakMap<Database, LargeQuery>()

/** Characters of parameters from which on a statement goes past Prisma. A usual chunk has a third of that. */
const LARGE_STATEMENT = 256 * 1024

/**
 * Runs a statement whose parameters may be megabytes, and returns its rows. Such a one goes past Prisma, whose debug log keeps
 * the arguments of the last hundred calls in memory, in two places, also where it is not enabled.
 */
export async function queryLarge<Row extends QueryResultRow>(db: Database, statement: Prisma.Sql): Promise<Row[]> {
  const length = statement.values.reduce<number>(
    (sum, value) => sum + (typeof value === 'string' ? value.length : 0),
    0,
  )
  if (length < LARGE_STATEMENT) return db.$queryRaw<Row[]>(statement)
  const query = largeQueries.get(db)
  if (query === undefined) throw new Error('the database was opened neither by openDatabase nor by withLargeQueries')
  return query<Row>(statement)
}

/** Makes `queryLarge` work with a handle on a database: `wrap` runs the query of the database. */
export function withLargeQueries(
  handle: Database,
  db: Database,
  wrap: <T>(run: () => Promise<T>) => Promise<T>,
): Database {
  largeQueries.set(handle, <Row extends QueryResultRow>(statement: Prisma.Sql) =>
    wrap(() => queryLarge<Row>(db, statement)),
  )
  return handle
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
