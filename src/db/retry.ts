import { setTimeout as sleep } from 'node:timers/promises'
import pRetry from 'p-retry'
import { type Database, withLargeQueries } from './client.js'
import { databaseErrorCode, readPostgresError } from './connection-error.js'

/** After the first attempt. */
const RETRIES = 6

/** Upper limit of the first backoff, in milliseconds. It doubles, so that all backoffs together take three seconds on average. */
const BASE_MS = 100

/** No retry is begun later than this after the first attempt, in milliseconds: each may wait for a lock, or for an answer. */
const MAX_RETRY_TIME_MS = 30_000

/**
 * Errors that pass once another transaction has ended: serialization_failure, deadlock_detected, lock_not_available, and
 * unique_violation, after which the statement sees the row that the other one inserted. Postgres has undone the whole statement.
 */
const PASSING: ReadonlySet<string> = new Set(['40001', '40P01', '55P03', '23505'])

export interface RetryOptions {
  /** An abort ends the retries; the error of the statement is thrown then. */
  readonly signal: AbortSignal
  /**
   * Whether to retry when the server could not be reached or the connection was lost. It is unknown then whether Postgres
   * executed the statement, so the statement must allow a second execution. Default false.
   */
  readonly reconnects?: boolean
  /** Is called with the error of each failed attempt that is followed by another one. */
  readonly onRetry?: (error: unknown) => void
}

/**
 * Returns a handle on the same database that retries a statement which collided with another client's, up to six times in
 * half a minute. That is safe because each statement is a transaction of its own. Not for `$transaction`, whose statements
 * belong together.
 */
export function withRetries(db: Database, { signal, reconnects = false, onRetry }: RetryOptions): Database {
  const mayPass = (error: unknown) =>
    PASSING.has(readPostgresError(error)?.code ?? '') ||
    (reconnects && ['unreachable', 'busy', 'no_answer'].includes(databaseErrorCode(error) ?? ''))

  /** p-retry gets no signal: with one it would turn the success of a statement into an abort that came meanwhile. */
  const attempt = <T>(run: () => Promise<T>): Promise<T> =>
    pRetry(run, {
      retries: RETRIES,
      minTimeout: 0,
      maxRetryTime: MAX_RETRY_TIME_MS,
      async shouldRetry({ error, retriesConsumed }) {
        if (signal.aborted || !mayPass(error)) return false
        onRetry?.(error)
        // Full jitter, where that of p-retry lies between once and twice the delay.
        const backoffMs = Math.random() * BASE_MS * 2 ** retriesConsumed
        return sleep(backoffMs, true, { signal }).catch(() => false)
      },
    })

  const retrying = db.$extends({ query: { $allOperations: ({ args, query }) => attempt(() => query(args)) } })
  // The type of an extended client lacks `$on`, and is no PrismaClient for that reason alone.
  return withLargeQueries(new Proxy(db, { get: (_, name) => Reflect.get(retrying, name) }), db, attempt)
}
