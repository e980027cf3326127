import PgBoss from 'pg-boss'
import type { Logger } from '../logging/logger.js'
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

/** What has been due for so long is withdrawn where its account is not served, in minutes; others may know of it. */
const STRANGE_MINUTES = 60

/** Connections of the queue's own pool. */
const POOL_SIZE = 2

/** Finds the run that waits for the account, be it for a retry; makes it due, and full, where that is wanted. */
const JOIN_WAITING = `
  UPDATE ${QUEUE_SCHEMA}.job SET data = CASE WHEN $3 = 'full' THEN data || '{"mode":"full"}' ELSE data END,
    start_after = least(start_after, now() + make_interval(secs => $4))
  WHERE name = $1 AND singleton_key = $2 AND state < 'active' RETURNING id`

/** pg-boss's own, of the given accounts alone: one that this worker cannot run stays where it is, for another one. */
const TAKE = `
  WITH next AS MATERIALIZED (
    SELECT id FROM ${QUEUE_SCHEMA}.job
    WHERE name = $1 AND state < 'active' AND start_after < now() AND singleton_key = ANY($3)
    ORDER BY created_on, id LIMIT $2 FOR UPDATE SKIP LOCKED
  )
  UPDATE ${QUEUE_SCHEMA}.job j SET state = 'active', started_on = now(),
    retry_count = CASE WHEN started_on IS NOT NULL THEN retry_count + 1 ELSE retry_count END
  FROM next WHERE j.name = $1 AND j.id = next.id RETURNING j.id, j.data`

const WITHDRAW_STRANGE = `
  DELETE FROM ${QUEUE_SCHEMA}.job WHERE name = $1 AND state < 'active' AND singleton_key <> ALL($2)
    AND greatest(created_on, start_after) < now() - make_interval(mins => $3)`

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
}

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
  /** Takes the runs that have waited longest, of these accounts. */
  take(most: number, accounts: readonly string[]): Promise<readonly TakenRun[]>
  /** Takes the run that waits for the account away. */
  withdraw(account: string): Promise<void>
  /** Takes away what has waited for an hour for other accounts than these. */
  withdrawOthers(accounts: readonly string[]): Promise<void>
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

  const sql = async (text: string, params: readonly unknown[]) =>
    (await boss.getDb().executeSql(text, [...params])).rows

  return {
    async put({ account, mode, trigger }, { afterSeconds = 0 } = {}) {
      if ((await sql(JOIN_WAITING, [RUNS, account, mode, afterSeconds])).length > 0) return false
      const options = { singletonKey: account, startAfter: afterSeconds }
      return (await boss.send(RUNS, { account, mode, trigger }, options)) !== null
    },
    async take(most, accounts) {
      const rows: readonly { readonly id: string; readonly data: DueRun }[] = await sql(TAKE, [RUNS, most, accounts])
      return rows.map(({ id, data }) => ({ ...data, id }))
    },
    withdraw: async (account) => void (await sql(WITHDRAW, [RUNS, account])),
    withdrawOthers: async (accounts) => void (await sql(WITHDRAW_STRANGE, [RUNS, accounts, STRANGE_MINUTES])),
    finish: async ({ id }) => void (await boss.complete(RUNS, id)),
    async fail({ id, ...run }, { isPassing, ...failure }) {
      if (isPassing) return void (await boss.fail(RUNS, id, failure))
      await boss.send(DEAD_RUNS, { ...run, failure }, { singletonKey: run.account, singletonSeconds: 3_600 })
      await boss.complete(RUNS, id)
    },
    close,
  }
}
