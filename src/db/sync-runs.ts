import { TIMING } from '../config/scale.js'
import type { Database } from './client.js'
import { Prisma } from './generated/client.js'

/** The largest `integer` of Postgres. Waits may add up to more, which must not cost the record. */
const MAX_INTEGER = 2_147_483_647

/** Identifies a run in the statements that write for it. */
export interface RunKey {
  readonly id: bigint
  readonly account: string
}

/** Another worker closed the run's record when it took over the account. Nothing was written. */
export class RunClosedError extends Error {
  override readonly name = 'RunClosedError'
  readonly code = 'worker_lost'

  constructor(run: RunKey) {
    super(`Run ${run.id} of account ${run.account} was closed by another worker and may write no more`)
  }
}

/**
 * The CTE `fence` of a statement that writes for a run: the row of the run, locked against closing; empty once another worker
 * has closed the run. What the statement writes depends on `EXISTS (SELECT FROM fence)`.
 */
export function fenceOf(run: RunKey): Prisma.Sql {
  return Prisma.sql`fence AS MATERIALIZED (
    SELECT r.id FROM spidra.sync_runs r WHERE r.id = ${run.id} AND r.status = 'running' FOR SHARE
  )`
}

/** What a run has done so far: the counters of `spidra.sync_runs`, each with its column's name in camel case. */
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

/** Notes the mode that the state of the account makes of the requested one. */
export async function saveRunMode(db: Database, run: RunKey, mode: 'full' | 'incremental'): Promise<void> {
  await db.syncRun.updateMany({ where: { id: run.id, status: 'running' }, data: { mode } })
}

/** Closes the record. Returns false, and changes nothing, when another worker has closed it before. */
export async function finishRun(db: Database, run: RunKey, end: RunEnd): Promise<boolean> {
  // Raw SQL: all times of a record are of the database's clock, so that a worker's clock cannot put the end before the start.
  const closed = await db.$executeRaw`
    UPDATE spidra.sync_runs SET
      status = ${end.status}, finished_at = now(), heartbeat_at = now(), ${toCounterColumns(end)},
      listed_total = ${end.listedTotal}, stored_total = ${end.storedTotal},
      status_reason = ${end.statusReason}, error_code = ${end.errorCode}, error_message = ${end.errorMessage}
    WHERE id = ${run.id} AND status = 'running'`
  return closed > 0
}

/** The counters as assignments of an UPDATE. */
export function toCounterColumns(run: RunCounters): Prisma.Sql {
  return Prisma.sql`
    requests = ${run.requests}, retries = ${run.retries}, pages_read = ${run.pagesRead},
    seams_repaired = ${run.seamsRepaired}, jobs_read = ${run.jobsRead}, inserted = ${run.inserted},
    updated = ${run.updated}, unchanged = ${run.unchanged}, removed = ${run.removed}, restored = ${run.restored},
    rejected = ${run.rejected}, waited_ms = ${Math.min(Math.round(run.waitedMs), MAX_INTEGER)}`
}

/** The mode of the account's present run; null when none is recorded. */
export async function readRunningMode(db: Database, account: string): Promise<string | null> {
  const run = await db.syncRun.findFirst({
    where: { account, status: 'running' },
    orderBy: { id: 'desc' },
    select: { mode: true },
  })
  return run?.mode ?? null
}

/** The facts from which the freshness of an account is decided. All instants are of the database's clock. */
export interface FreshnessFacts {
  readonly asOf: Date
  readonly lastCompleteAt: Date | null
  /**
   * When the first `failed` or `partial` run since the last good run ended; null when there is none. A good run was
   * complete, or left the first pass unfinished. Aborted runs do not count.
   */
  readonly failingSince: Date | null
  /** The present run; null when there is none, or its worker is gone. */
  readonly running: {
    readonly startedAt: Date
    /** Whether it has stored more new jobs than the last failed run: then it got further. */
    readonly isAdvancing: boolean
  } | null
  /** Whether the last run since the last good one no longer advanced, and was given up. */
  readonly hasStalled: boolean
}

interface FreshnessRow extends Omit<FreshnessFacts, 'running'> {
  readonly runningSince: Date | null
  readonly isAdvancing: boolean
}

/** Reads the facts in one statement. All of an unknown account are null. */
export async function readFreshnessFacts(
  db: Database,
  account: string,
  deadAfterMs = TIMING.deadAfterMs,
): Promise<FreshnessFacts> {
  // Raw SQL: one snapshot of several runs and the state, and times of the database's clock.
  const [row] = await db.$queryRaw<FreshnessRow[]>`
    SELECT clock_timestamp() AS "asOf", s.last_complete_at AS "lastCompleteAt", first.finished_at AS "failingSince",
      running.started_at AS "runningSince",
      coalesce(running.inserted > coalesce(last.inserted, 0), false) AS "isAdvancing",
      coalesce(last.error_code = 'stalled', false) AS "hasStalled"
    FROM (SELECT ${account}::text AS account) a
    LEFT JOIN spidra.sync_state s ON s.account = a.account
    LEFT JOIN LATERAL (
      SELECT r.started_at FROM spidra.sync_runs r
      WHERE r.account = a.account AND (r.status = 'complete' OR r.status_reason = 'first_pass_unfinished')
      ORDER BY r.started_at DESC LIMIT 1
    ) good ON true
    LEFT JOIN LATERAL (
      SELECT r.finished_at FROM spidra.sync_runs r
      WHERE r.account = a.account AND r.status IN ('failed', 'partial')
        AND r.started_at > coalesce(good.started_at, '-infinity')
      ORDER BY r.started_at LIMIT 1
    ) first ON true
    LEFT JOIN LATERAL (
      SELECT r.inserted, r.error_code FROM spidra.sync_runs r
      WHERE r.account = a.account AND r.status IN ('failed', 'partial')
        AND r.started_at > coalesce(good.started_at, '-infinity')
      ORDER BY r.started_at DESC LIMIT 1
    ) last ON true
    LEFT JOIN LATERAL (
      SELECT r.started_at, r.inserted FROM spidra.sync_runs r
      WHERE r.account = a.account AND r.status = 'running'
        AND r.heartbeat_at > now() - make_interval(secs => ${deadAfterMs / 1000})
      ORDER BY r.started_at DESC LIMIT 1
    ) running ON true`
  if (row === undefined) throw new Error('Postgres returned no facts')
  const { runningSince, isAdvancing, ...facts } = row
  return { ...facts, running: runningSince === null ? null : { startedAt: runningSince, isAdvancing } }
}
