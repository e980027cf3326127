import type { Database } from './client.js'

/** Names a run to the statements that write for it. */
export interface RunKey {
  readonly id: bigint
  readonly account: string
}

/** The run's record was closed by another worker, which took the account over. Nothing was written. */
export class RunClosedError extends Error {
  override readonly name = 'RunClosedError'
  readonly code = 'worker_lost'

  constructor(run: RunKey) {
    super(`Run ${run.id} of account ${run.account} was closed by another worker and may write no more`)
  }
}

export interface NewRun {
  readonly account: string
  readonly mode: 'full' | 'incremental'
  readonly trigger: 'schedule' | 'startup' | 'manual'
  /** `host:pid`. */
  readonly worker: string
}

/** What a run has done so far; column for column the counters of `spidra.sync_runs`. */
export interface RunCounters {
  readonly requests: number
  readonly retries: number
  readonly pagesRead: number
  readonly seamsRepaired: number
  readonly jobsRead: number
  readonly inserted: number
  readonly updated: number
  readonly unchanged: number
  readonly removed: number
  readonly restored: number
  readonly rejected: number
  readonly waitedMs: number
}

export interface RunEnd extends RunCounters {
  readonly status: 'complete' | 'partial' | 'failed' | 'aborted'
  readonly listedTotal: number | null
  readonly storedTotal: number | null
  readonly statusReason: string | null
  readonly errorCode: string | null
  readonly errorMessage: string | null
}

/**
 * Opens the record of a run, after closing those that a dead worker left `running`.
 * Only the holder of the account lock may call it: to everybody else such a run may be alive.
 */
export async function startRun(db: Database, run: NewRun): Promise<RunKey> {
  await db.$executeRaw`
    UPDATE spidra.sync_runs
    SET status = 'aborted', finished_at = now(), error_code = 'worker_lost',
        error_message = 'The worker ended without closing the run'
    WHERE account = ${run.account} AND status = 'running'`
  // Started by the clock of the database, like everything else in a record: worker clocks differ.
  const [row] = await db.$queryRaw<{ id: bigint }[]>`
    INSERT INTO spidra.sync_runs (account, mode, trigger, worker)
    VALUES (${run.account}, ${run.mode}, ${run.trigger}, ${run.worker}) RETURNING id`
  if (row === undefined) throw new Error('Postgres returned no id for the run')
  return { id: row.id, account: run.account }
}

/** Says that the run is alive, and what it has done so far. Returns false when another worker has closed it. */
export async function beatRun(db: Database, run: RunKey, soFar: RunCounters): Promise<boolean> {
  const beaten = await db.$executeRaw`
    UPDATE spidra.sync_runs SET
      heartbeat_at = now(), requests = ${soFar.requests}, retries = ${soFar.retries}, pages_read = ${soFar.pagesRead},
      seams_repaired = ${soFar.seamsRepaired}, jobs_read = ${soFar.jobsRead}, inserted = ${soFar.inserted},
      updated = ${soFar.updated}, unchanged = ${soFar.unchanged}, removed = ${soFar.removed},
      restored = ${soFar.restored}, rejected = ${soFar.rejected}, waited_ms = ${toMilliseconds(soFar.waitedMs)}
    WHERE id = ${run.id} AND status = 'running'`
  return beaten > 0
}

/** Closes the record. Returns false, and changes nothing, when another worker has closed it before. */
export async function finishRun(db: Database, run: RunKey, end: RunEnd): Promise<boolean> {
  // All times of a record come from the clock of the database, so that a worker's clock cannot turn them round.
  const closed = await db.$executeRaw`
    UPDATE spidra.sync_runs SET
      status = ${end.status}, finished_at = now(), heartbeat_at = now(), requests = ${end.requests},
      retries = ${end.retries}, pages_read = ${end.pagesRead}, seams_repaired = ${end.seamsRepaired},
      jobs_read = ${end.jobsRead}, inserted = ${end.inserted}, updated = ${end.updated}, unchanged = ${end.unchanged},
      removed = ${end.removed}, restored = ${end.restored}, rejected = ${end.rejected},
      waited_ms = ${toMilliseconds(end.waitedMs)}, listed_total = ${end.listedTotal}, stored_total = ${end.storedTotal},
      status_reason = ${end.statusReason}, error_code = ${end.errorCode}, error_message = ${end.errorMessage}
    WHERE id = ${run.id} AND status = 'running'`
  return closed > 0
}

/** The mode of the account's run under way; null: none is recorded. */
export async function readRunningMode(db: Database, account: string): Promise<string | null> {
  const [row] = await db.$queryRaw<{ mode: string }[]>`
    SELECT mode FROM spidra.sync_runs WHERE account = ${account} AND status = 'running' ORDER BY id DESC LIMIT 1`
  return row?.mode ?? null
}

/** Waits may come to more than the column holds, which must not cost the record. */
function toMilliseconds(waitedMs: number): number {
  return Math.min(Math.round(waitedMs), 2_147_483_647)
}
