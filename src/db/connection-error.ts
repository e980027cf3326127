import type { Client } from 'pg'
import { z } from 'zod'
import { addressOf } from './server-address.js'
import { readPostgresError } from './sql-state.js'

/**
 * Why the database cannot be used, in words a dashboard can group by. `pooled`: a proxy lends out connections. `busy`: the
 * connections of this process were all in use, so the database was not even asked.
 */
export type DatabaseErrorCode =
  | 'unreachable'
  | 'busy'
  | 'tls'
  | 'authentication'
  | 'no_such_database'
  | 'too_many_connections'
  | 'too_old'
  | 'pooled'
  | 'permission'
  | 'read_only'
  | 'not_migrated'
  | 'disk_full'
  | 'conflict'
  | 'time_limit'
  | 'other'

/** The database refused, or could not be asked. The message is one line, and says what, where and what to do. */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError'
  readonly code: DatabaseErrorCode

  /**
   * @param databaseUrl is taken apart for host, port, database and user; the password stays out
   * @param details `source` is a short remark: an SQLSTATE, a version, what Postgres said; `mend`, what to do where more
   *   is known than the code tells, as the end of a sentence
   */
  constructor(
    databaseUrl: string,
    details: { code: DatabaseErrorCode; source?: string | null; mend?: string; cause?: unknown },
  ) {
    const { server, isSocket, database, user } = addressOf(databaseUrl)
    // What Postgres says may come from somebody's trigger, and have several lines.
    const remark = details.source ? ` (${details.source.replace(/\s+/g, ' ').trim()})` : ''
    const where = { server: `Postgres at ${server}`, isSocket, database: `"${database}"`, user: `"${user}"`, remark }
    super(SENTENCES[details.code]({ ...where, mend: details.mend }), { cause: details.cause })
    this.code = details.code
  }
}

interface Where {
  readonly server: string
  readonly isSocket: boolean
  readonly database: string
  readonly user: string
  readonly remark: string
  readonly mend: string | undefined
}

const SENTENCES: Readonly<Record<DatabaseErrorCode, (where: Where) => string>> = {
  unreachable: ({ server, isSocket, remark }) =>
    isSocket
      ? `Cannot reach ${server}${remark}: check that the server runs, and makes its socket in the folder and with the port that DATABASE_URL names.`
      : `Cannot reach ${server}${remark}: check host and port in DATABASE_URL, and that the server runs and lets this machine in.`,
  busy: ({ server, remark }) =>
    `No connection of this process to ${server} became free in time${remark}: see what its statements wait for, in pg_stat_activity.`,
  tls: ({ server, remark }) =>
    `Cannot agree with ${server} on an encrypted connection${remark}: check sslmode and sslrootcert in DATABASE_URL; with a private CA, uselibpqcompat=true&sslmode=require works.`,
  authentication: ({ server, database, user, remark }) =>
    `${server} refuses user ${user} for database ${database}${remark}: check user and password in DATABASE_URL.`,
  no_such_database: ({ server, database, remark }) =>
    `${server} has no database ${database}${remark}: create it, or check the name in DATABASE_URL.`,
  too_many_connections: ({ server, remark }) =>
    `${server} has no connection left${remark}: raise max_connections, or close other clients.`,
  too_old: ({ server, remark }) => `${server} is too old${remark}: spidra-sync needs Postgres 14 or later.`,
  pooled: ({ server, remark }) =>
    `${server} is behind a transaction-pooling proxy${remark}, which voids session locks: point DATABASE_URL at Postgres itself, or at a session-pooling port.`,
  permission: ({ server, database, user, remark, mend }) =>
    `User ${user} lacks a right in database ${database} of ${server}${remark}: ${mend ?? 'let it own the schemas spidra and spidra_reporting, and all that is in them'}.`,
  read_only: ({ server, database, remark }) =>
    `Database ${database} of ${server} is read-only${remark}: point DATABASE_URL at the primary server, or end its read-only mode.`,
  not_migrated: ({ server, database, remark }) =>
    `Database ${database} of ${server} lacks a table of spidra-sync${remark}: run \`spidra-sync migrate\`.`,
  disk_full: ({ server, remark }) => `${server} has no disk space left${remark}: make room for it.`,
  conflict: ({ server, database, remark }) =>
    `Another client kept what was to be written in database ${database} of ${server}${remark}: end its transaction, and look who writes to the tables of spidra-sync.`,
  time_limit: ({ server, user, remark }) =>
    `${server} cut a statement off${remark}: raise the statement_timeout of user ${user}.`,
  other: ({ server, database, remark }) => `Database ${database} of ${server} failed${remark}.`,
}

/** By SQLSTATE, or by its class where the last three characters make no difference. */
const BY_SQL_STATE: Readonly<Record<string, DatabaseErrorCode>> = {
  '08': 'unreachable',
  '57P01': 'unreachable', // shut down, or our connection was ended
  '57P02': 'unreachable', // crashed
  '57P03': 'unreachable', // starting up or shutting down
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

/** What Prisma's adapter makes of errors that have no SQLSTATE. */
const BY_PRISMA_KIND: Readonly<Record<string, DatabaseErrorCode>> = {
  DatabaseNotReachable: 'unreachable',
  ConnectionClosed: 'unreachable',
  SocketTimeout: 'unreachable',
  TlsConnectionError: 'tls',
}

/** node-postgres gives these errors nothing but a text. */
const BY_MESSAGE: readonly (readonly [RegExp, DatabaseErrorCode])[] = [
  [/^(The server does not support SSL|There was an error establishing an SSL)/, 'tls'],
  [/^SASL: SCRAM/, 'authentication'],
  // pg-pool, where all connections are in use or still being opened; a server that is away is told by those.
  [/^timeout exceeded when trying to connect$/, 'busy'],
  [/^(timeout e|Connection terminated|Client (was closed|has encountered a connection error))/, 'unreachable'],
]

const nodeError = z.object({ code: z.string(), message: z.string(), syscall: z.string().optional() })
/** An interactive transaction that got no connection in time; or, with its own limit told, that outlived it. */
const transactionError = z.object({ code: z.literal('P2028'), meta: z.object({ timeout: z.number().optional() }) })
const prismaError = z.object({
  meta: z.object({ driverAdapterError: z.object({ cause: z.object({ kind: z.string() }) }) }),
})

/** Says what an error of node-postgres or Prisma means; null when it is not about the database. */
export function toDatabaseError(error: unknown, databaseUrl: string): DatabaseError | null {
  if (error instanceof DatabaseError) return error
  const found = classify(error)
  return found && new DatabaseError(databaseUrl, { ...found, cause: error })
}

/** Why the database cannot be used; null when the error is not about it. */
export function databaseErrorCode(error: unknown): DatabaseErrorCode | null {
  return error instanceof DatabaseError ? error.code : (classify(error)?.code ?? null)
}

function classify(error: unknown): { code: DatabaseErrorCode; source: string | null } | null {
  const said = readPostgresError(error)
  if (said !== null) {
    const code = BY_SQL_STATE[said.code] ?? BY_SQL_STATE[said.code.slice(0, 2)] ?? 'other'
    return { code, source: `${said.message}, SQLSTATE ${said.code}` }
  }
  const prisma = prismaError.safeParse(error)
  if (prisma.success) {
    const { kind } = prisma.data.meta.driverAdapterError.cause
    return { code: BY_PRISMA_KIND[kind] ?? 'other', source: null }
  }
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
  // Prisma keeps the code, and of the call only what Node's message says.
  return isSocket || /^(connect|getaddrinfo) E[A-Z]+/m.test(message) ? 'unreachable' : null
}

/** Postgres 14, as `server_version_num`. */
export const OLDEST_VERSION = 140_000

/** @throws {DatabaseError} `too_old` when the server is older than Postgres 14 */
export async function assertSupportedVersion(client: Client, databaseUrl: string): Promise<void> {
  const { rows } = await client.query<{ version: string; number: number }>(
    `SELECT current_setting('server_version') AS version, current_setting('server_version_num')::integer AS number`,
  )
  const server = rows[0]
  if (server !== undefined && server.number < OLDEST_VERSION) {
    throw new DatabaseError(databaseUrl, { code: 'too_old', source: `version ${server.version}` })
  }
}
