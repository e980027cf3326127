import type { Client } from 'pg'
import PgBoss from 'pg-boss'
import { Connection, openPool } from '../db/connection.js'
import { explainMissingRight, toDatabaseError } from '../db/connection-error.js'
import type { Logger } from '../logging/logger.js'
import type { RunMode, RunTrigger } from '../sync/run-summary.js'

/** Where pg-boss keeps its tables, beside ours in the same database. */
const QUEUE_SCHEMA = 'spidra_queue'

const RUNS = 'runs'
const DEAD_RUNS = 'dead_runs'

/** A run without an end after this time is due again, in seconds: its worker is gone. A slice ends after four minutes. */
const EXPIRE_SECONDS = 300

/** A failed run is retried by whichever worker is free: after half a minute, then after a minute. */
const RETRIES = { retryLimit: 2, retryDelay: 30, retryBackoff: true } as const

/** How often pg-boss checks for expired runs, in seconds. */
const MAINTENANCE_SECONDS = 30

/** Age at which a waiting run is withdrawn if this process does not serve its account, in minutes: others may serve it. */
const UNSERVED_MINUTES = 60

/** Connections of the queue's own pool. */
const POOL_SIZE = 2

/** Key of the advisory lock under which the queue is set up. "spiq" in ASCII. */
const SETUP_LOCK = 0x73706971

/** pg-boss's own statement. Without the right to create schemas it fails even where the schema exists. */
const CREATE_SCHEMA = `CREATE SCHEMA IF NOT EXISTS ${QUEUE_SCHEMA}`

/** Finds the waiting run of the account, also one that waits for a retry; makes it due, and full if that is asked. */
const JOIN_WAITING = `
  UPDATE ${QUEUE_SCHEMA}.job SET data = CASE WHEN $3 = 'full' THEN data || '{"mode":"full"}' ELSE data END,
    start_after = least(start_after, now() + make_interval(secs => $4))
  WHERE name = $1 AND singleton_key = $2 AND state < 'active' RETURNING id`

/** As pg-boss's own, but for the given accounts only: a run that this worker cannot do stays there for another one. */
const TAKE = `
  WITH next AS MATERIALIZED (
    SELECT id FROM ${QUEUE_SCHEMA}.job
    WHERE name = $1 AND state < 'active' AND start_after < now() AND singleton_key = ANY($3)
    ORDER BY created_on, id LIMIT $2 FOR UPDATE SKIP LOCKED
  )
  UPDATE ${QUEUE_SCHEMA}.job j SET state = 'active', started_on = now(),
    retry_count = CASE WHEN started_on IS NOT NULL THEN retry_count + 1 ELSE retry_count END
  FROM next WHERE j.name = $1 AND j.id = next.id RETURNING j.id, j.data`

/** pg-boss deletes by id only. */
const WITHDRAW = `DELETE FROM ${QUEUE_SCHEMA}.job WHERE name = $1 AND singleton_key = $2 AND state < 'active'`

const WITHDRAW_UNSERVED = `
  DELETE FROM ${QUEUE_SCHEMA}.job WHERE name = $1 AND state < 'active' AND singleton_key <> ALL($2)
    AND greatest(created_on, start_after) < now() - make_interval(mins => $3)`

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
  readonly isRetryable: boolean
}

/** The runs that are due, in Postgres, for all workers. */
export interface RunQueue {
  /**
   * Puts a run at the end, unless one of the account waits already; resolves to false then. A waiting incremental run becomes
   * full when a full one is put, because a full run does the work of both.
   */
  put(run: DueRun, options?: { readonly afterSeconds?: number }): Promise<boolean>
  /** Takes the runs of these accounts that have waited longest. */
  take(most: number, accounts: readonly string[]): Promise<readonly TakenRun[]>
  /** Deletes the waiting run of the account. */
  withdraw(account: string): Promise<void>
  /** Deletes the runs of all other accounts that have waited for an hour. */
  withdrawOthers(accounts: readonly string[]): Promise<void>
  /** Marks the run as ended; it need not have been complete. */
  finish(run: TakenRun): Promise<void>
  /**
   * Marks the run as failed. A retryable one is due again after a pause, and becomes a dead letter after three failures.
   * Any other is a dead letter at once, at most one an hour per account. The next tick of the account comes all the same.
   */
  fail(run: TakenRun, failure: RunFailure): Promise<void>
  close(): Promise<void>
}

/**
 * Opens the queue, and creates its schema where there is none, in one process at a time.
 *
 * Waiting runs are unique per account (policy `short`, and `JOIN_WAITING` for those that wait for a retry). Runs under way
 * are not: with pg-boss's stricter policies one busy account can block the fetching for all. The running record of an account
 * makes sure that it does not run twice at a time.
 *
 * @throws DatabaseError when the server cannot be reached, or a right is missing; it names the statements that grant it.
 */
export async function openRunQueue(databaseUrl: string, log: Logger): Promise<RunQueue> {
  const pool = openPool({ connectionString: databaseUrl, application_name: 'spidra-sync queue', max: POOL_SIZE })
  const sql = async (text: string, params: readonly unknown[]) => (await pool.query(text, [...params])).rows
  const boss = new PgBoss({
    db: { executeSql: (text, params) => pool.query(text, params) },
    schema: QUEUE_SCHEMA,
    schedule: false,
    maintenanceIntervalSeconds: MAINTENANCE_SECONDS,
    archiveCompletedAfterSeconds: 3_600,
    deleteAfterDays: 1,
  })
  boss.on('error', (err) => log.warn({ err }, 'queue maintenance failed'))
  // A graceful stop waits for pg-boss's own workers, and there are none.
  const close = async () => {
    await boss.stop({ graceful: false, wait: true })
    await pool.end()
  }
  try {
    await setUp(databaseUrl, boss)
  } catch (error) {
    await close()
    throw error
  }

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
    withdrawOthers: async (accounts) => void (await sql(WITHDRAW_UNSERVED, [RUNS, accounts, UNSERVED_MINUTES])),
    finish: async ({ id }) => void (await boss.complete(RUNS, id)),
    async fail({ id, ...run }, { isRetryable, ...failure }) {
      if (isRetryable) return void (await boss.fail(RUNS, id, failure))
      await boss.send(DEAD_RUNS, { ...run, failure }, { singletonKey: run.account, singletonSeconds: 3_600 })
      await boss.complete(RUNS, id)
    },
    close,
  }
}

/**
 * Creates what is missing and starts pg-boss, one process at a time: of several at once pg-boss lets some end in a deadlock.
 * Each step is a transaction that holds a lock, which ends with it behind any proxy.
 */
async function setUp(databaseUrl: string, boss: PgBoss): Promise<void> {
  const client = new Connection({
    connectionString: databaseUrl,
    application_name: 'spidra-sync queue',
    // Longer than the lock's own limit.
    deadlineMs: 90_000,
  })
  try {
    await client.connect()
    await underLock(client, () => createTables(client))
    await underLock(client, async () => {
      await boss.start()
      await createQueues(boss)
    })
  } catch (error) {
    const explained = await explainMissingRight(error, client, databaseUrl, [QUEUE_SCHEMA])
    throw explained ?? toDatabaseError(error, databaseUrl) ?? error
  } finally {
    await client.end().catch(() => {})
  }
}

async function underLock(client: Client, work: () => Promise<void>): Promise<void> {
  await client.query('BEGIN')
  try {
    // A process that hangs during its own set-up must not block the others for ever without a message.
    await client.query("SET LOCAL lock_timeout = '60s'")
    await client.query('SELECT pg_advisory_xact_lock($1)', [SETUP_LOCK])
    await work()
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {})
    throw error
  }
}

/** Does what pg-boss does at its start, but also works in a schema that an administrator has created. */
async function createTables(client: Client): Promise<void> {
  const { rows } = await client.query<{ hasSchema: boolean; hasTables: boolean }>(
    `SELECT to_regnamespace($1) IS NOT NULL AS "hasSchema", to_regclass($1 || '.version') IS NOT NULL AS "hasTables"`,
    [QUEUE_SCHEMA],
  )
  if (rows[0]?.hasTables === true) return
  if (rows[0]?.hasSchema !== true) await client.query(CREATE_SCHEMA)
  await client.query(PgBoss.getConstructionPlans(QUEUE_SCHEMA).replace(CREATE_SCHEMA, 'SELECT 1'))
}

async function createQueues(boss: PgBoss): Promise<void> {
  await boss.createQueue(DEAD_RUNS, { name: DEAD_RUNS, policy: 'standard', retentionDays: 14 })
  const runs: PgBoss.Queue = {
    name: RUNS,
    policy: 'short',
    deadLetter: DEAD_RUNS,
    expireInSeconds: EXPIRE_SECONDS,
    ...RETRIES,
  }
  await boss.createQueue(RUNS, runs)
  // A queue that exists keeps the settings of an older version.
  await boss.updateQueue(RUNS, runs)
}
