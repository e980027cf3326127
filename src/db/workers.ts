import type { Database } from './client.js'
import type { ReportedBudget } from './sync-state.js'

/** What a process of a fleet reports about itself. */
export interface WorkerHeartbeat {
  /** `host:pid`. */
  readonly worker: string
  readonly role: 'scheduler' | 'worker' | 'both'
  readonly sourceAddress: string | null
  readonly runsInParallel: number
  readonly running: number
  /** Null until it is known. */
  readonly budget: ReportedBudget | null
  /** For how long it takes no runs because its request budget is spent, in milliseconds; 0 when it takes runs, or never does. */
  readonly pausedForMs: number
}

/** A process without a heartbeat for this number of hours is deleted. */
const KEPT_HOURS = 1

/** Saves a heartbeat, and deletes the processes that have had none for an hour. */
export async function saveHeartbeat(db: Database, heartbeat: WorkerHeartbeat): Promise<void> {
  const { worker, role, sourceAddress, runsInParallel, running, budget, pausedForMs } = heartbeat
  const pausedForSeconds = pausedForMs === 0 ? null : pausedForMs / 1000
  // Raw SQL: all times are of the database's clock, in one statement.
  await db.$executeRaw`
    WITH gone AS (
      DELETE FROM spidra.workers WHERE seen_at < now() - make_interval(hours => ${KEPT_HOURS}::integer) AND worker <> ${worker}
    )
    INSERT INTO spidra.workers (worker, role, source_address, runs_in_parallel, running, rate_limit, rate_remaining, rate_reset_at,
      paused_until)
    VALUES (${worker}, ${role}, ${sourceAddress}, ${runsInParallel}, ${running}, ${budget?.limit ?? null},
      ${budget?.remaining ?? null}, ${budget?.resetAt ?? null},
      now() + make_interval(secs => ${pausedForSeconds}))
    ON CONFLICT (worker) DO UPDATE SET role = excluded.role, source_address = excluded.source_address,
      runs_in_parallel = excluded.runs_in_parallel, running = excluded.running, rate_limit = excluded.rate_limit,
      rate_remaining = excluded.rate_remaining, rate_reset_at = excluded.rate_reset_at,
      paused_until = excluded.paused_until, seen_at = now()`
}

/** Deletes a process that ends. */
export async function deleteWorker(db: Database, worker: string): Promise<void> {
  await db.worker.deleteMany({ where: { worker } })
}
