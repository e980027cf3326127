import type { Database } from './client.js'
import type { ReportedBudget } from './sync-state.js'

/** What a process of a fleet says of itself. */
export interface WorkerSign {
  /** `host:pid`. */
  readonly worker: string
  readonly role: 'scheduler' | 'worker' | 'both'
  readonly sourceAddress: string | null
  readonly runsInParallel: number
  readonly running: number
  /** Null: nothing is known of it yet. */
  readonly budget: ReportedBudget | null
  /** How long it takes no runs for want of requests, in milliseconds; 0 when it takes some, or never does. */
  readonly pausedForMs: number
}

/** Rows of processes that have been gone for so long are deleted, in hours. */
const KEPT_HOURS = 1

/** Notes a sign of life, and forgets who has been gone for an hour. */
export async function noteWorker(db: Database, sign: WorkerSign): Promise<void> {
  const { worker, role, sourceAddress, runsInParallel, running, budget, pausedForMs } = sign
  const pausedForSeconds = pausedForMs === 0 ? null : pausedForMs / 1000
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

/** Takes a process that ends in order off the list. */
export async function forgetWorker(db: Database, worker: string): Promise<void> {
  await db.$executeRaw`DELETE FROM spidra.workers WHERE worker = ${worker}`
}
