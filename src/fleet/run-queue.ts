import PgBoss from 'pg-boss'
import type { Logger } from '../logger.js'
import type { RunMode, RunTrigger } from '../sync/run-summary.js'
import { QUEUE_SCHEMA, setUpQueue } from './queue-schema.js'

const RUNS = 'runs'
const DEAD_RUNS = 'dead_runs'

/** A slice ends after four minutes; what is silent for longer than this is given to another worker, in seconds. */
const EXPIRE_SECONDS = 300

/** Failed runs are tried again, by whichever worker is free: after half a minute, then after one. */
const RETRIES = { retryLimit: 2, retryDelay: 30, retryBackoff: true } as const

/** How often what expired is looked for, in seconds. */
const MAINTENANCE_SECONDS = 30

/** What was put back is not taken again for so long, in seconds. */
const PUT_BACK_SECONDS = 30

/** Connections of the queue's own pool. */
const POOL_SIZE = 2

/** Finds the run that waits for the account, be it for a retry; makes it due, and full, where that is wanted. */
const JOIN_WAITING = `
  UPDATE ${QUEUE_SCHEMA}.job SET data = CASE WHEN $3 = 'full' THEN data || '{"mode":"full"}' ELSE data END,
    start_after = least(start_after, now() + make_interval(secs => $4))
  WHERE name = $1 AND singleton_key = $2 AND state < 'active' RETURNING id`

const WITHDRAW = `DELETE FROM ${QUEUE_SCHEMA}.job WHERE name = $1 AND singleton_key = $2 AND state < 'active'`

/** The network may lose a connection without a word; then the queue is asked on another one, in milliseconds. */
const QUIET_CONNECTIONS = { keepAlive: true, query_timeout: 30_000, connectionTimeoutMillis: 10_000 }

/** A run that is due. */
export interface DueRun {
  readonly account: string
  readonly mode: RunMode
  readonly trigger: RunTrigger
}

/** A run that this worker has taken off the queue. */
export interface TakenRun extends DueRun {
  readonly id: string
  /** ISO 8601. One that was put back has been due since before that. */
  readonly dueSince: string
}

/** A run as it lies in the queue; `dueSince` where it was put back. */
type StoredRun = DueRun & Partial<Pick<TakenRun, 'dueSince'>>

export interface RunFailure {
  readonly code: string
  readonly message: string
  /** Whether a second attempt might help. */
  readonly isPassing: boolean
}

/** What is due, in Postgres, for all workers. */
export interface RunQueue {
  /**
   * Puts a run at the end, unless one of the account waits already; false then. A full run does the work of both, so a
   * waiting incremental one becomes full by it.
   */
  put(run: DueRun, options?: { readonly afterSeconds?: number }): Promise<boolean>
  /** Takes the runs that have waited longest. */
  take(most: number): Promise<readonly TakenRun[]>
  /**
   * Leaves a run to another worker, as if it had not been taken: it uses up no retry, and goes on waiting. It is not taken
   * again for half a minute, unless it is put once more.
   */
  putBack(run: TakenRun): Promise<void>
  /** Takes the run that waits for the account away. */
  withdraw(account: string): Promise<void>
  /** The run came to an end; it need not have been complete. */
  finish(run: TakenRun): Promise<void>
  /**
   * The run failed: it is due again after a pause, and a dead letter after three failures. One that no retry can mend is
   * a dead letter at once, at most one an hour for an account: its next tick comes all the same.
   */
  fail(run: TakenRun, failure: RunFailure): Promise<void>
  close(): Promise<void>
}

/**
 * Opens the queue, and makes its schema where there is none, however many do so at once.
 *
 * Runs that wait are unique by account (policy `short`, and those that wait for a retry). Runs under way are not:
 * pg-boss's stricter policies let one busy account hold up the fetching for all. That no account runs twice at a time is
 * the account lock's to see to.
 */
export async function openRunQueue(databaseUrl: string, log: Logger): Promise<RunQueue> {
  const boss = new PgBoss({
    ...QUIET_CONNECTIONS,
    connectionString: databaseUrl,
    schema: QUEUE_SCHEMA,
    application_name: 'spidra-sync queue',
    max: POOL_SIZE,
    schedule: false,
    maintenanceIntervalSeconds: MAINTENANCE_SECONDS,
    archiveCompletedAfterSeconds: 3_600,
    deleteAfterDays: 1,
  })
  boss.on('error', (err) => log.warn({ err }, 'queue maintenance failed'))
  // Not graceful: nothing works through pg-boss's own workers, which is all that grace would wait for.
  const close = () => boss.stop({ graceful: false, wait: true })
  try {
    await setUpQueue(databaseUrl, async () => {
      await boss.start()
      await boss.createQueue(DEAD_RUNS, { name: DEAD_RUNS, policy: 'standard', retentionDays: 14 })
      const runs: PgBoss.Queue = {
        name: RUNS,
        policy: 'short',
        deadLetter: DEAD_RUNS,
        expireInSeconds: EXPIRE_SECONDS,
        ...RETRIES,
      }
      await boss.createQueue(RUNS, runs)
      // A queue that is there keeps what an older version gave it.
      await boss.updateQueue(RUNS, runs)
    })
  } catch (error) {
    await close()
    throw error
  }

  async function put(run: StoredRun, afterSeconds: number): Promise<boolean> {
    const { account, mode } = run
    const { rows } = await boss.getDb().executeSql(JOIN_WAITING, [RUNS, account, mode, afterSeconds])
    if (rows.length > 0) return false
    return (await boss.send(RUNS, run, { singletonKey: account, startAfter: afterSeconds })) !== null
  }

  return {
    put: ({ account, mode, trigger }, { afterSeconds = 0 } = {}) => put({ account, mode, trigger }, afterSeconds),
    async take(most) {
      const jobs = await boss.fetch<StoredRun>(RUNS, { batchSize: most, includeMetadata: true })
      return jobs.map(({ id, data, createdOn, startAfter }) => {
        const dueSince = new Date(Math.max(Number(createdOn), Number(startAfter))).toISOString()
        return { dueSince, ...data, id }
      })
    },
    async putBack({ id, ...run }) {
      // First what follows, then the end, as with a run that is handed on.
      await put(run, PUT_BACK_SECONDS)
      await boss.complete(RUNS, id)
    },
    withdraw: async (account) => void (await boss.getDb().executeSql(WITHDRAW, [RUNS, account])),
    finish: async ({ id }) => void (await boss.complete(RUNS, id)),
    async fail({ id, account, mode, trigger }, { isPassing, ...failure }) {
      if (isPassing) return void (await boss.fail(RUNS, id, failure))
      await boss.send(
        DEAD_RUNS,
        { account, mode, trigger, failure },
        { singletonKey: account, singletonSeconds: 3_600 },
      )
      await boss.complete(RUNS, id)
    },
    close,
  }
}
