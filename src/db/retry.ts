import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from './client.js'
import { databaseErrorCode, readPostgresError } from './connection-error.js'

/** After the first attempt. */
const RETRIES = 6

/** Ceiling of the first backoff, in milliseconds; it doubles, so that all of them take three seconds on average. */
const BASE_MS = 100

/** No attempt begins later than so many milliseconds after the first: each may wait for a lock, or for an answer. */
const PATIENCE_MS = 30_000

/**
 * What passes by itself once another transaction has ended: serialization_failure, deadlock_detected and
 * lock_not_available. Postgres has undone the whole statement then.
 */
const PASSING: ReadonlySet<string> = new Set(['40001', '40P01', '55P03'])

export interface RetryOptions {
  /** Ends the waiting; the statement's own error is thrown then. */
  readonly signal: AbortSignal
  /**
   * Also when the server could not be reached, or the connection was lost. Nobody knows then whether the statement was
   * done, so it must be one that may be done twice. Default false.
   */
  readonly reconnects?: boolean
  /** Hears of every failed attempt that another one follows. */
  readonly onRetry?: (error: unknown) => void
}

/**
 * The same database, on which a statement that collided with another client's is tried again, up to six times in half a
 * minute. Safe, because every statement of ours is a transaction of its own. Not for `$transaction`, whose statements
 * stand or fall together.
 */
export function withRetries(db: Database, { signal, reconnects = false, onRetry }: RetryOptions): Database {
  const mayPass = (error: unknown) =>
    PASSING.has(readPostgresError(error)?.code ?? '') ||
    (reconnects && ['unreachable', 'busy'].includes(databaseErrorCode(error) ?? ''))

  async function attempt<T>(run: () => Promise<T>): Promise<T> {
    const startedAt = performance.now()
    for (let retry = 1; ; retry += 1) {
      try {
        return await run()
      } catch (error) {
        const isLate = performance.now() - startedAt > PATIENCE_MS
        if (retry > RETRIES || isLate || signal.aborted || !mayPass(error)) throw error
        onRetry?.(error)
        await sleep(Math.random() * BASE_MS * 2 ** (retry - 1), undefined, { signal }).catch(() => {
          throw error
        })
      }
    }
  }

  const patient = db.$extends({ query: { $allOperations: ({ args, query }) => attempt(() => query(args)) } })
  // By its type an extended client is no client any more, though it lacks nothing but `$on`.
  return new Proxy(db, { get: (_, name) => Reflect.get(patient, name) })
}
