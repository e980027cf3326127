import type { Database } from '../db/client.js'

/** A process of the fleet at its last heartbeat. Instants are ISO 8601. */
export interface WorkerReport {
  readonly worker: string
  readonly role: string
  readonly sourceAddress: string | null
  readonly running: number
  readonly runsInParallel: number
  /**
   * The request budget of its address; null until it is known. If the API reports none, it is the configured limit minus
   * the requests of this process in the window, without those of other processes at the address.
   */
  readonly budget: {
    readonly limit: number
    readonly remaining: number | null
    readonly resetAt: string | null
  } | null
  /** It takes no runs before this instant, because the budget is spent; null: it takes runs. */
  readonly pausedUntil: string | null
  readonly seenAt: string
  readonly silentSeconds: number
  /** Whether its last heartbeat is at most a minute old. */
  readonly isAlive: boolean
}

/** Runs of an account that failed and are not retried, since it was last complete and within the last day. */
export interface DeadLetterReport {
  readonly account: string
  readonly runs: number
  readonly lastAt: string
  readonly lastError: string | null
}

/** The processes of the fleet and its queue of runs. */
export interface FleetReport {
  readonly workers: readonly WorkerReport[]
  /** Runs that are due and not taken by a worker. */
  readonly waitingRuns: number
  readonly activeRuns: number
  /** Time since the oldest waiting run became due; 0 when none waits. */
  readonly oldestWaitSeconds: number
  readonly deadLetters: readonly DeadLetterReport[]
}

/** The heartbeat comes every 15 seconds; a process whose last one is older than this has ended or hangs. */
const SILENT_AFTER_SECONDS = 60

/** Reads the state of the fleet; null if no fleet has ever used this database. */
export async function readFleet(db: Database): Promise<FleetReport | null> {
  const [found] = await db.$queryRaw<{ isThere: boolean }[]>`
    SELECT to_regclass('spidra.workers') IS NOT NULL AND to_regclass('spidra_queue.job') IS NOT NULL AS "isThere"`
  if (found?.isThere !== true) return null
  const [workers, queue, deadLetters] = await Promise.all([readWorkers(db), readQueue(db), readDeadLetters(db)])
  return { workers, ...queue, deadLetters }
}

async function readWorkers(db: Database): Promise<WorkerReport[]> {
  const rows = await db.$queryRaw<
    (Omit<WorkerReport, 'budget' | 'isAlive'> & {
      limit: number | null
      remaining: number | null
      resetAt: string | null
    })[]
  >`
    SELECT worker, role, source_address AS "sourceAddress", running, runs_in_parallel AS "runsInParallel",
      rate_limit AS limit, rate_remaining AS remaining, to_char(rate_reset_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "resetAt",
      CASE WHEN paused_until > now() THEN to_char(paused_until, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') END AS "pausedUntil",
      to_char(seen_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "seenAt",
      extract(epoch FROM now() - seen_at)::integer AS "silentSeconds"
    FROM spidra.workers ORDER BY started_at, worker`
  return rows.map(({ limit, remaining, resetAt, ...worker }) => ({
    ...worker,
    isAlive: worker.silentSeconds <= SILENT_AFTER_SECONDS,
    budget: limit === null ? null : { limit, remaining, resetAt },
  }))
}

type QueueReport = Pick<FleetReport, 'waitingRuns' | 'activeRuns' | 'oldestWaitSeconds'>

async function readQueue(db: Database): Promise<QueueReport> {
  const [row] = await db.$queryRaw<QueueReport[]>`
    SELECT count(*) FILTER (WHERE state < 'active' AND start_after <= now())::integer AS "waitingRuns",
      count(*) FILTER (WHERE state = 'active')::integer AS "activeRuns",
      coalesce(extract(epoch FROM now() - min(greatest(created_on, start_after))
        FILTER (WHERE state < 'active' AND start_after <= now())), 0)::integer AS "oldestWaitSeconds"
    FROM spidra_queue.job WHERE name = 'runs' AND state <= 'active'`
  return row ?? { waitingRuns: 0, activeRuns: 0, oldestWaitSeconds: 0 }
}

/** A dead letter of pg-boss has the error in its output, one of ours in its data. */
async function readDeadLetters(db: Database): Promise<DeadLetterReport[]> {
  return db.$queryRaw<DeadLetterReport[]>`
    SELECT j.data->>'account' AS account, count(*)::integer AS runs,
      to_char(max(j.created_on), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "lastAt",
      (array_agg(coalesce(j.output->>'message', j.data->'failure'->>'message') ORDER BY j.created_on DESC))[1] AS "lastError"
    FROM spidra_queue.job j LEFT JOIN spidra.sync_state s ON s.account = j.data->>'account'
    WHERE j.name = 'dead_runs' AND j.created_on > greatest(s.last_complete_at, now() - interval '1 day')
    GROUP BY 1 ORDER BY 1`
}
