import { Client } from 'pg'
import { TIMING } from '../config/scale.js'
import type { Database } from './client.js'
import { DatabaseError } from './connection-error.js'
import type { ReadOnlyConnection } from './read-only.js'

/** First half of the lock's key; the second is a hash of the account. "spid" in ASCII. */
const LOCK_CLASS = 0x73706964

const CONNECT_TIMEOUT_MS = 10_000

/** The connection is idle while it holds the lock. By the default of the system its loss would be noticed after two hours. */
const KEEP_ALIVE_MS = 30_000

/** How long the server process of a dead holder may take to end, in milliseconds. */
const TERMINATION_TIMEOUT_MS = 5_000

/** Finds the connection that holds the lock. $1 and $2 are the parameters of `tryLock`. */
const FROM_HOLDER = `
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
  WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid = $1::bigint::oid AND l.objid = (hashtext($2)::bigint & 4294967295)::oid`

/** The connection that holds the account lock was lost, and with it the right to run. */
export class LockLostError extends Error {
  override readonly name = 'LockLostError'
  readonly code = 'lock_lost'

  constructor(account: string, cause?: unknown) {
    const remark = cause instanceof Error ? ` (${cause.message})` : ''
    super(
      `The connection that holds the lock of account ${account} was lost${remark}: the server, or a proxy before it, ` +
        'closed it. The next run continues from the stored position.',
      { cause },
    )
  }
}

/** The right to run for an account. A connection of its own holds it, so that it ends at once when its worker is killed. */
export interface AccountLock {
  /** Aborts when the connection, and with it the lock, is lost. */
  readonly lost: AbortSignal
  release(): Promise<void>
}

/**
 * Takes the account's lock; returns null when a living worker holds it.
 *
 * A holder is dead when the heartbeat of its run, or, between runs, the last query of its connection, is older than
 * `deadAfterMs`. Its run is closed first, which waits for a present merge and prevents the next one. Then its connection is
 * terminated.
 *
 * @throws DatabaseError `pooled` when a proxy shares connections by transaction, which would break the lock.
 */
export async function lockAccount(
  databaseUrl: string,
  db: Database,
  account: string,
  deadAfterMs = TIMING.deadAfterMs,
): Promise<AccountLock | null> {
  const client = new Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    application_name: 'spidra-sync lock',
  })
  const lost = new AbortController()
  const lose = (cause?: unknown) => lost.abort(new LockLostError(account, cause))
  client.on('error', lose)
  client.on('end', () => lose())
  try {
    await client.connect()
    // Before the lock is taken: a connection of a proxy would keep it.
    await assertOwnConnection(client, db, databaseUrl)
    await client.query('SET tcp_keepalives_idle = 30')
    if (!(await tryLock(client, account)) && !(await takeOver(client, account, deadAfterMs / 1000))) {
      await client.end()
      return null
    }
    return {
      lost: lost.signal,
      async release() {
        client.removeAllListeners('end')
        await client.end().catch(() => {})
      },
    }
  } catch (error) {
    await client.end().catch(() => {})
    throw error
  }
}

/** The connection that holds an account's lock. What the role may not see of another role's connection is null. */
export interface LockHolder {
  readonly pid: number
  readonly user: string | null
  readonly address: string | null
  readonly connectedAt: Date | null
}

/** Finds the connection that holds the account's lock; null where the lock is free. Changes nothing. */
export async function findLockHolder({ query }: ReadOnlyConnection, account: string): Promise<LockHolder | null> {
  const { rows } = await query<LockHolder & Record<string, unknown>>(
    `SELECT a.pid, a.usename AS user, host(a.client_addr) AS address, a.backend_start AS "connectedAt" ${FROM_HOLDER}`,
    [LOCK_CLASS, account],
  )
  return rows[0] ?? null
}

/**
 * Whether a living worker runs the account, or began to in the last two seconds: then the tick of another scheduler was
 * faster. A killed worker has no lock, and a stopped one has no heartbeat.
 */
export async function isAccountRunning(db: Database, account: string): Promise<boolean> {
  // Raw SQL: it reads pg_locks, and the database's clock.
  const [row] = await db.$queryRaw<{ isRunning: boolean }[]>`
    SELECT EXISTS (
      SELECT FROM spidra.sync_runs r WHERE r.account = ${account}
        AND (r.started_at > now() - interval '2 seconds'
          OR r.status = 'running' AND r.heartbeat_at > now() - make_interval(secs => ${TIMING.deadAfterMs / 1000})
            AND EXISTS (
              SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND l.classid = ${LOCK_CLASS}::bigint::oid
                AND l.objid = (hashtext(${account})::bigint & 4294967295)::oid))) AS "isRunning"`
  return row?.isRunning ?? false
}

async function tryLock(client: Client, account: string): Promise<boolean> {
  const { rows } = await client.query<{ locked: boolean }>(
    'SELECT pg_try_advisory_lock($1::integer, hashtext($2)) AS locked',
    [LOCK_CLASS, account],
  )
  return rows[0]?.locked ?? false
}

/** Takes the lock from a dead holder. Returns false when the holder is alive, or another worker was faster. */
async function takeOver(client: Client, account: string, deadAfterSeconds: number): Promise<boolean> {
  // A run that began before the holder's connection was left behind by another worker, and does not show that this one is alive.
  const { rows } = await client.query<{ pid: number; isDead: boolean }>(
    `SELECT l.pid, coalesce(
        (SELECT max(r.heartbeat_at) FROM spidra.sync_runs r
         WHERE r.account = $2 AND r.status = 'running' AND r.started_at >= coalesce(a.backend_start, '-infinity')),
        a.state_change, now()) < now() - make_interval(secs => $3) AS "isDead" ${FROM_HOLDER}`,
    [LOCK_CLASS, account, deadAfterSeconds],
  )
  const holder = rows[0]
  // The lock was released in the meantime: the first to take it has it now.
  if (holder === undefined) return tryLock(client, account)
  if (!holder.isDead) return false
  await client.query(
    `UPDATE spidra.sync_runs
     SET status = 'aborted', finished_at = now(), error_code = 'worker_lost',
         error_message = 'The worker wrote no heartbeat for a minute; another worker took over'
     WHERE account = $1 AND status = 'running' AND heartbeat_at < now() - make_interval(secs => $2)`,
    [account, deadAfterSeconds],
  )
  // A run that is still open wrote a heartbeat while its closing waited. And another worker may have the lock now.
  await client.query(
    `SELECT pg_terminate_backend(l.pid, $4) ${FROM_HOLDER} AND l.pid = $3
       AND NOT EXISTS (SELECT FROM spidra.sync_runs r WHERE r.account = $2 AND r.status = 'running')`,
    [LOCK_CLASS, account, holder.pid, TERMINATION_TIMEOUT_MS],
  )
  return tryLock(client, account)
}

/** Throws where two connections of ours have the same server process: then a proxy shares it between clients. */
async function assertOwnConnection(client: Client, db: Database, databaseUrl: string): Promise<void> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  // Raw SQL: no model has the process number of the server.
  const [other] = await db.$queryRaw<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`
  if (rows[0]?.pid === other?.pid) throw new DatabaseError(databaseUrl, { code: 'pooled' })
}
