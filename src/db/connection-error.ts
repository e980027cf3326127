import { Client } from 'pg'
import { z } from 'zod'
import { FILE_PARAMETERS } from '../config/database-url.js'

/**
 * Why the database cannot be used, as a code that a dashboard can group by. `busy`: all connections of this process were in
 * use, so the statement was not sent. `no_answer`: it was sent, and not answered in time.
 */
export type DatabaseErrorCode =
  | 'unreachable'
  | 'busy'
  | 'tls'
  | 'authentication'
  | 'no_such_database'
  | 'too_many_connections'
  | 'too_old'
  | 'encoding'
  | 'no_answer'
  | 'time_zone'
  | 'permission'
  | 'read_only'
  | 'not_migrated'
  | 'disk_full'
  | 'conflict'
  | 'time_limit'
  | 'other'

/** The database refused a statement, or could not be reached. The message is one line: what happened, where, what to do. */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError'
  readonly code: DatabaseErrorCode

  /**
   * @param databaseUrl host, port, database and user go into the message, the password does not
   * @param details `source`: a short remark, such as an SQLSTATE, a version, or the message of Postgres. `fix`: what to do,
   *   as the end of a sentence, where more is known than the code says.
   */
  constructor(
    databaseUrl: string,
    details: { code: DatabaseErrorCode; source?: string | null; fix?: string; cause?: unknown },
  ) {
    const { server, isSocket, database, user } = addressOf(databaseUrl)
    // The message of Postgres may come from a user's trigger, and have several lines.
    const remark = details.source ? ` (${details.source.replace(/\s+/g, ' ').trim()})` : ''
    const where = { server: `Postgres at ${server}`, isSocket, database: `"${database}"`, user: `"${user}"`, remark }
    super(SENTENCES[details.code]({ ...where, fix: details.fix }), { cause: details.cause })
    this.code = details.code
  }
}

/** Where a connection string leads, without its password. */
interface ServerAddress {
  /** `host:port`, or the path of a socket. */
  readonly server: string
  readonly isSocket: boolean
  readonly database: string
  readonly user: string
}

/** Reads a connection string as node-postgres does, including its defaults. */
function addressOf(databaseUrl: string): ServerAddress {
  const url = new URL(databaseUrl)
  // A wrong file must not keep the error from being explained.
  for (const name of FILE_PARAMETERS) url.searchParams.delete(name)
  const { host, port, database = '', user = '' } = new Client({ connectionString: url.href })
  const isSocket = host.startsWith('/')
  return { server: isSocket ? `${host}/.s.PGSQL.${port}` : `${host}:${port}`, isSocket, database, user }
}

interface Where extends ServerAddress {
  readonly remark: string
  readonly fix: string | undefined
}

/** What to do about a database that is not UTF-8. An encoding cannot be changed. The locale C goes with every server's default. */
export const CREATE_AS_UTF8 =
  "create one with `CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0 LOCALE 'C'`, and name it in DATABASE_URL"

const SENTENCES: Readonly<Record<DatabaseErrorCode, (where: Where) => string>> = {
  unreachable: ({ server, isSocket, remark }) =>
    isSocket
      ? `Cannot reach ${server}${remark}: check that the server runs, and that DATABASE_URL has the directory and the port of its socket.`
      : `Cannot reach ${server}${remark}: check host and port in DATABASE_URL, and that the server runs and lets this machine in.`,
  busy: ({ server, remark }) =>
    `No connection of this process to ${server} became free in time${remark}: check in pg_stat_activity what its statements wait for.`,
  tls: ({ server, remark }) =>
    `Cannot encrypt the connection to ${server}${remark}: check sslmode and sslrootcert in DATABASE_URL; with a private CA, uselibpqcompat=true&sslmode=require works.`,
  authentication: ({ server, database, user, remark, fix }) =>
    `${server} refuses user ${user} for database ${database}${remark}: ${fix ?? 'check user and password in DATABASE_URL'}.`,
  no_such_database: ({ server, database, remark }) =>
    `${server} has no database ${database}${remark}: create it, or check the name in DATABASE_URL.`,
  too_many_connections: ({ server, remark }) =>
    `${server} has no connection left${remark}: raise max_connections, or close other clients.`,
  too_old: ({ server, remark }) => `${server} is too old${remark}: spidra-sync needs Postgres 14 or later.`,
  encoding: ({ server, database, remark }) =>
    `Database ${database} of ${server} cannot store every character${remark}: ${CREATE_AS_UTF8}.`,
  time_zone: ({ server, database, remark }) =>
    `Database ${database} of ${server} gives times in another time zone than was asked for${remark}, because a proxy on the way drops the request: run \`ALTER DATABASE ${database} SET TimeZone = 'UTC'\`, and connect again.`,
  no_answer: ({ server, remark }) =>
    `${server} did not answer a statement in time${remark}: check the network and the proxies on the way, and in pg_stat_activity what the statements of spidra-sync wait for.`,
  permission: ({ server, database, user, remark, fix }) =>
    `User ${user} lacks a right in database ${database} of ${server}${remark}: ${fix ?? 'let it own the schemas spidra and spidra_reporting, and all that is in them'}.`,
  read_only: ({ server, database, remark }) =>
    `Database ${database} of ${server} is read-only${remark}: point DATABASE_URL at the primary server, or end its read-only mode.`,
  not_migrated: ({ server, database, remark }) =>
    `Database ${database} of ${server} lacks a table of spidra-sync${remark}: run \`spidra-sync migrate\`.`,
  disk_full: ({ server, remark }) => `${server} has no disk space left${remark}: make room for it.`,
  conflict: ({ server, database, remark }) =>
    `Another client locked rows that spidra-sync had to write in database ${database} of ${server}${remark}: end its transaction, and check which clients write to the tables of spidra-sync.`,
  time_limit: ({ server, user, remark }) =>
    `${server} cancelled a statement${remark}: raise the statement_timeout of user ${user}.`,
  other: ({ server, database, remark }) => `Database ${database} of ${server} failed${remark}.`,
}

/** Codes by SQLSTATE, or by its first two characters where the rest makes no difference. */
const BY_SQL_STATE: Readonly<Record<string, DatabaseErrorCode>> = {
  '08': 'unreachable',
  '57P01': 'unreachable', // shut down, or an administrator ended the connection
  '57P02': 'unreachable', // crashed
  '57P03': 'unreachable', // starting up or shutting down
  '57P05': 'unreachable', // idle for longer than idle_session_timeout
  '28': 'authentication',
  '3D000': 'no_such_database',
  '53300': 'too_many_connections',
  '53100': 'disk_full',
  '40001': 'conflict', // serialization_failure
  '40P01': 'conflict', // deadlock_detected
  '55P03': 'conflict', // lock_not_available
  '57014': 'time_limit',
  '42501': 'permission',
  '25006': 'read_only',
  '3F000': 'not_migrated',
  '42P01': 'not_migrated',
  '42703': 'not_migrated',
}

/** Codes by the kind that Prisma's adapter gives to errors without an SQLSTATE. */
const BY_PRISMA_KIND: Readonly<Record<string, DatabaseErrorCode>> = {
  DatabaseNotReachable: 'unreachable',
  ConnectionClosed: 'unreachable',
  SocketTimeout: 'unreachable',
  TlsConnectionError: 'tls',
}

/** Codes by message: these errors of node-postgres have nothing else. */
const BY_MESSAGE: readonly (readonly [RegExp, DatabaseErrorCode])[] = [
  [/^(The server does not support SSL|There was an error establishing an SSL)/, 'tls'],
  [/^SASL: SCRAM/, 'authentication'],
  // pg-pool: all connections are in use or being opened. A server that is away gives another error.
  [/^timeout exceeded when trying to connect$/, 'busy'],
  [/^(timeout e|Connection terminated|Client (was closed|has encountered a connection error))/, 'unreachable'],
]

/** The SQLSTATE and the message of an error that Postgres itself raised. */
export interface PostgresError {
  /** SQLSTATE, five characters. */
  readonly code: string
  readonly message: string
}

/** node-postgres puts the SQLSTATE on the error; Prisma's adapter wraps it twice. */
const fromDriver = z
  .object({ code: z.string().regex(/^[0-9A-Z]{5}$/), severity: z.string(), message: z.string() })
  .transform(({ code, message }) => ({ code, message }))
const fromPrisma = z
  .object({
    meta: z.object({
      driverAdapterError: z.object({ cause: z.object({ originalCode: z.string(), originalMessage: z.string() }) }),
    }),
  })
  .transform(({ meta }) => {
    const { originalCode, originalMessage } = meta.driverAdapterError.cause
    return { code: originalCode, message: originalMessage }
  })
const postgresError = z.union([fromPrisma, fromDriver])

/** Reads SQLSTATE and message from an error of Prisma or node-postgres; null when Postgres did not raise it. */
export function readPostgresError(error: unknown): PostgresError | null {
  const parsed = postgresError.safeParse(error)
  return parsed.success ? parsed.data : null
}

const nodeError = z.object({ code: z.string(), message: z.string(), syscall: z.string().optional() })
/** An interactive transaction that got no connection in time, or, where `timeout` is set, that took longer than that. */
const transactionError = z.object({ code: z.literal('P2028'), meta: z.object({ timeout: z.number().optional() }) })
/** An error of our own connections. Prisma passes it on, with the name of its own function before the message. */
const ownError = z
  .object({ code: z.enum(['no_answer', 'time_zone']), message: z.string() })
  .transform(({ code, message }) => ({ code, source: message.slice(message.lastIndexOf('\n') + 1) }))
const prismaError = z.object({
  meta: z.object({ driverAdapterError: z.object({ cause: z.object({ kind: z.string() }) }) }),
})

/** Converts an error of node-postgres or Prisma; null when it is not about the database. */
export function toDatabaseError(error: unknown, databaseUrl: string): DatabaseError | null {
  if (error instanceof DatabaseError) return error
  const found = classify(error)
  return found && new DatabaseError(databaseUrl, { ...found, cause: error })
}

/** The code of the `DatabaseError` that `error` is or would become; null when it is not about the database. */
export function databaseErrorCode(error: unknown): DatabaseErrorCode | null {
  return error instanceof DatabaseError ? error.code : (classify(error)?.code ?? null)
}

/** What to do about an SQLSTATE whose message has these words, which are those of Postgres 14 and later in English. */
const FIXES: readonly (readonly [state: string, words: string, fix: string])[] = [
  [
    '28000',
    'no encryption',
    'add sslmode=require to DATABASE_URL (with a private CA, uselibpqcompat=true&sslmode=require), or let its pg_hba.conf admit this machine',
  ],
  [
    '42501',
    'row-level security',
    'disable row-level security on the tables of spidra-sync, or give the user a policy for every row of them',
  ],
]

function classify(error: unknown): { code: DatabaseErrorCode; source: string | null; fix?: string } | null {
  const refusal = readPostgresError(error)
  if (refusal !== null) {
    const code = BY_SQL_STATE[refusal.code] ?? BY_SQL_STATE[refusal.code.slice(0, 2)] ?? 'other'
    const fix = FIXES.find(([state, words]) => refusal.code === state && refusal.message.includes(words))?.[2]
    return { code, source: `${refusal.message}, SQLSTATE ${refusal.code}`, ...(fix === undefined ? {} : { fix }) }
  }
  const prisma = prismaError.safeParse(error)
  if (prisma.success) {
    const { kind } = prisma.data.meta.driverAdapterError.cause
    return { code: BY_PRISMA_KIND[kind] ?? 'other', source: null }
  }
  const own = ownError.safeParse(error)
  if (own.success) return own.data
  const transaction = transactionError.safeParse(error)
  if (transaction.success) {
    return { code: transaction.data.meta.timeout === undefined ? 'busy' : 'time_limit', source: null }
  }
  const node = nodeError.safeParse(error)
  if (node.success) {
    const code = toNodeErrorCode(node.data)
    return code && { code, source: node.data.code }
  }
  const message = error instanceof Error ? error.message : ''
  const code = BY_MESSAGE.find(([pattern]) => pattern.test(message))?.[1]
  return code === undefined ? null : { code, source: null }
}

function toNodeErrorCode({ code, syscall, message }: z.infer<typeof nodeError>): DatabaseErrorCode | null {
  if (/CERT|^ERR_(SSL|TLS)|SIGNATURE/.test(code)) return 'tls'
  const isSocket =
    syscall === 'connect' || syscall === 'getaddrinfo' || /^E(AI_|CONN|PIPE$|TIMEDOUT$|HOST|NET)/.test(code)
  // Prisma keeps Node's code and message, but not `syscall`.
  return isSocket || /^(connect|getaddrinfo) E[A-Z]+/m.test(message) ? 'unreachable' : null
}

/** Postgres 14, as `server_version_num`. */
export const OLDEST_VERSION = 140_000

/** What decides whether a database can be used at all. */
export interface ServerFacts {
  /** As people write it, such as `16.4`. */
  readonly version: string
  /** `server_version_num`, such as 160004. */
  readonly number: number
  /** Encoding of the database, such as `UTF8`. In another one, a single job with another letter would stop its account. */
  readonly encoding: string
}

export const READ_SERVER_FACTS = `
  SELECT current_setting('server_version') AS version, current_setting('server_version_num')::integer AS number,
    current_setting('server_encoding') AS encoding`

/** @throws {DatabaseError} `too_old` when the server is older than Postgres 14, `encoding` when the database is not UTF-8 */
export async function assertUsableDatabase(client: Client, databaseUrl: string): Promise<void> {
  const { rows } = await client.query<ServerFacts & Record<string, unknown>>(READ_SERVER_FACTS)
  const [server] = rows
  if (server === undefined) return
  if (server.number < OLDEST_VERSION) {
    throw new DatabaseError(databaseUrl, { code: 'too_old', source: `version ${server.version}` })
  }
  if (server.encoding !== 'UTF8') {
    throw new DatabaseError(databaseUrl, { code: 'encoding', source: `its encoding is ${server.encoding}` })
  }
}

/** Statements that give the rights on schemas: CREATE SCHEMA where one is missing, ALTER SCHEMA where it is another's. */
const GRANTING_STATEMENTS = `
  SELECT CASE WHEN n.oid IS NULL THEN format('CREATE SCHEMA %I AUTHORIZATION %I;', s.name, current_user)
    ELSE format('ALTER SCHEMA %I OWNER TO %I;', s.name, current_user) END AS statement
  FROM unnest($1::text[]) WITH ORDINALITY AS s(name, place)
  LEFT JOIN pg_namespace n ON n.nspname = s.name
  WHERE CASE WHEN n.oid IS NULL THEN NOT has_database_privilege(current_database(), 'CREATE')
    ELSE NOT has_schema_privilege(n.oid, 'CREATE') END
  ORDER BY s.place`

/**
 * Explains a statement that failed for lack of a right: the error names the statements that give it. Null for any other
 * error, and where the role has its rights on the schemas, so that the missing right is another one.
 *
 * @param client must not be in a transaction
 * @param schemas that the statement needs; default those of the migrations
 */
export async function explainMissingRight(
  error: unknown,
  client: Client,
  databaseUrl: string,
  schemas: readonly string[] = ['spidra', 'spidra_reporting'],
): Promise<DatabaseError | null> {
  const refusal = readPostgresError(error)
  if (refusal?.code !== '42501') return null
  // The connection may be lost by now; then the plain error has to do.
  const { rows } = await client.query<{ statement: string }>(GRANTING_STATEMENTS, [schemas]).catch(() => ({ rows: [] }))
  if (rows.length === 0) return null
  return new DatabaseError(databaseUrl, {
    code: 'permission',
    source: `${refusal.message}, SQLSTATE ${refusal.code}`,
    fix: `let an administrator of the database run \`${rows.map(({ statement }) => statement).join(' ')}\``,
    cause: error,
  })
}
