import type { Database } from '../db/client.js'

/** A process of the fleet, as it last said. Instants are ISO 8601. */
export interface WorkerReport {
  readonly worker: string
  readonly role: string
  readonly sourceAddress: string | null
  readonly running: number
  readonly runsInParallel: number
  /**
   * The request budget of its address; null until it is known. Where the API tells none, it is the configured limit, less
   * the requests of this process in the window: those of others at the address are not in it.
   */
  readonly budget: {
    readonly limit: number
    readonly remaining: number | null
    readonly resetAt: string | null
  } | null
  /** Until when it takes no runs, because the budget is spent; null when it takes some. */
  readonly pausedUntil: string | null
  readonly seenAt: string
  readonly silentSeconds: number
  /** Whether it gave a sign of life within the last minute. */
  readonly isAlive: boolean
}

/** Runs of an account that failed for good since it was last complete, within the last day. */
export interface DeadLetterReport {
  readonly account: string
  readonly runs: number
  readonly lastAt: string
  readonly lastError: string | null
}

/** Who works, and what waits. */
export interface FleetReport {
  readonly workers: readonly WorkerReport[]
  /** Runs that are due and not taken. */
  readonly waitingRuns: number
  readonly activeRuns: number
  /** How long the oldest of the waiting has been due; 0 when none waits. */
  readonly oldestWaitSeconds: number
  readonly deadLetters: readonly DeadLetterReport[]
}

/** A process gives a sign of life every 15 seconds; silent for longer than this, it is gone or stopped. */
const SILENT_AFTER_SECONDS = 60

/** Reads the state of the fleet; null where none has ever worked on this database. */
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

/** A dead letter that pg-boss made has the error as its output, one of ours among its data. */
async function readDeadLetters(db: Database): Promise<DeadLetterReport[]> {
  return db.$queryRaw<DeadLetterReport[]>`
    SELECT j.data->>'account' AS account, count(*)::integer AS runs,
      to_char(max(j.created_on), 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS "lastAt",
      (array_agg(coalesce(j.output->>'message', j.data->'failure'->>'message') ORDER BY j.created_on DESC))[1] AS "lastError"
    FROM spidra_queue.job j LEFT JOIN spidra.sync_state s ON s.account = j.data->>'account'
    WHERE j.name = 'dead_runs' AND j.created_on > greatest(s.last_complete_at, now() - interval '1 day')
    GROUP BY 1 ORDER BY 1`
}

/** How far each account has come, whoever runs it. */
export interface AccountProgress {
  readonly account: string
  readonly lastCompleteAt: Date | null
  readonly rereadSince: Date | null
  /** Of the last run that came to a verdict; null before the first. */
  readonly listedTotal: number | null
  /** Stored live jobs plus open rejections, of the same run. */
  readonly storedTotal: number | null
  /** Listed items that could not be stored as they are, as of now. */
  readonly openRejections: number
}

/** Reads it for all accounts that have ever run. */
export function readProgress(db: Database): Promise<readonly AccountProgress[]> {
  return db.$queryRaw<AccountProgress[]>`
    SELECT account, complete_as_of AS "lastCompleteAt", every_job_reread_since AS "rereadSince",
      listed_jobs AS "listedTotal", stored_jobs AS "storedTotal", open_rejections::double precision AS "openRejections"
    FROM spidra_reporting.sync_freshness`
}
