import type { Database } from './client.js'
import { Prisma } from './generated/client.js'
import { RunClosedError, type RunKey } from './sync-runs.js'

/** What a run goes on from. Positions in the list are `created_at`, as ISO 8601 text with microseconds. */
export interface SyncState {
  /** A pass has reached the end of the list. */
  readonly isWhole: boolean
  /** Down to where a first pass has stored everything, while it is not whole. */
  readonly bottomCreatedAt: string | null
  /** Where the sweep goes on; null: from the top. */
  readonly sweepCreatedAt: string | null
  /** When the present round of the sweep began. */
  readonly sweepStartedAt: Date | null
  readonly lastSweepAt: Date | null
  /** Where an unfinished full pass goes on, and when it began. */
  readonly fullCreatedAt: string | null
  readonly fullStartedAt: Date | null
  /** Where the reading of open jobs goes on; null: from the newest. */
  readonly openCreatedAt: string | null
  /** When the table last was proved to hold what the API listed. */
  readonly lastCompleteAt: Date | null
  /** Every listed job has been read at or after this moment. */
  readonly rereadSince: Date | null
  /** The API did not list the jobs newest first. */
  readonly isUnsorted: boolean
  /** Stored minus listed jobs, where a full pass could not settle it. */
  readonly triedDifference: number | null
  /** The list has lost jobs: only pages that overlap are known to join. */
  readonly losesJobs: boolean
  /** Total of the first answer of the first pass, and of the last one once it is over; null once that pass is proved. */
  readonly passTotal: number | null
  /** When the newest job of that answer was created. */
  readonly passCreatedAt: string | null
}

/** The request budget that the API last reported. */
export interface ReportedBudget {
  readonly limit: number
  readonly remaining: number
  readonly resetAt: Date | null
}

/** Reads the state of an account, which is on the books from then on. */
export async function openSyncState(db: Database, account: string): Promise<SyncState> {
  await db.$executeRaw`INSERT INTO spidra.sync_state (account) VALUES (${account}) ON CONFLICT DO NOTHING`
  // Positions come as text, because a Date would drop their microseconds.
  const [row] = await db.$queryRaw<SyncState[]>`
    SELECT is_whole AS "isWhole", ${isoText('bottom_created_at')} AS "bottomCreatedAt",
      ${isoText('sweep_created_at')} AS "sweepCreatedAt", sweep_started_at AS "sweepStartedAt",
      last_sweep_at AS "lastSweepAt", ${isoText('full_created_at')} AS "fullCreatedAt",
      full_started_at AS "fullStartedAt", ${isoText('open_created_at')} AS "openCreatedAt",
      last_complete_at AS "lastCompleteAt",
      reread_since AS "rereadSince", is_unsorted AS "isUnsorted", tried_difference AS "triedDifference",
      loses_jobs AS "losesJobs", pass_total AS "passTotal", ${isoText('pass_created_at')} AS "passCreatedAt"
    FROM spidra.sync_state WHERE account = ${account}`
  if (row === undefined) throw new Error(`the state of account ${account} vanished while it was read`)
  return row
}

/**
 * Notes a part of the state; what is not given stays as it is.
 *
 * @throws RunClosedError when the run is no longer `running`: what it knew may be overtaken.
 */
export async function saveSyncState(db: Database, run: RunKey, change: Partial<SyncState>): Promise<void> {
  const columns = Object.entries(change).map(([name, value]) => [toColumn(name), value])
  const saved = await db.$executeRaw`
    WITH fence AS MATERIALIZED (
      SELECT r.id FROM spidra.sync_runs r WHERE r.id = ${run.id} AND r.status = 'running' FOR SHARE
    )
    UPDATE spidra.sync_state s
    SET (is_whole, bottom_created_at, sweep_created_at, sweep_started_at, last_sweep_at, full_created_at,
         full_started_at, open_created_at, last_complete_at, reread_since, is_unsorted, tried_difference,
         loses_jobs, pass_total, pass_created_at) = (
      SELECT r.is_whole, r.bottom_created_at, r.sweep_created_at, r.sweep_started_at, r.last_sweep_at,
        r.full_created_at, r.full_started_at, r.open_created_at, r.last_complete_at, r.reread_since, r.is_unsorted, r.tried_difference,
        r.loses_jobs, r.pass_total, r.pass_created_at
      FROM jsonb_populate_record(s, ${JSON.stringify(Object.fromEntries(columns))}::jsonb) AS r)
    WHERE s.account = ${run.account} AND EXISTS (SELECT FROM fence)`
  if (saved === 0) throw new RunClosedError(run)
}

/** Notes the request budget, so that other processes can show it. */
export async function saveBudget(db: Database, account: string, budget: ReportedBudget): Promise<void> {
  await db.$executeRaw`
    INSERT INTO spidra.sync_state (account, rate_limit, rate_remaining, rate_reset_at)
    VALUES (${account}, ${budget.limit}, ${budget.remaining}, ${budget.resetAt})
    ON CONFLICT (account) DO UPDATE SET rate_limit = excluded.rate_limit, rate_remaining = excluded.rate_remaining,
      rate_reset_at = excluded.rate_reset_at`
}

/** Notes after how many hours without progress an open job counts as stuck, for the views. Writes only what is new. */
export async function saveStuckAfter(db: Database, account: string, stuckAfterHours: number): Promise<void> {
  await db.$executeRaw`
    UPDATE spidra.sync_state SET stuck_after_hours = ${stuckAfterHours}
    WHERE account = ${account} AND stuck_after_hours <> ${stuckAfterHours}`
}

/** Notes when the next run is due, so that other processes can show it. */
export async function saveNextRun(db: Database, account: string, nextRunAt: Date | null): Promise<void> {
  await db.$executeRaw`
    INSERT INTO spidra.sync_state (account, next_run_at) VALUES (${account}, ${nextRunAt})
    ON CONFLICT (account) DO UPDATE SET next_run_at = excluded.next_run_at`
}

function isoText(column: string): Prisma.Sql {
  return Prisma.sql`to_char(${Prisma.raw(column)} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
}

function toColumn(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
