import { type Database, isoText, toColumn } from './client.js'
import type { Prisma } from './generated/client.js'
import { fenceOf, RunClosedError, type RunKey } from './sync-runs.js'

/** Where the next run continues. Positions in the list are `created_at`, as ISO 8601 text with microseconds. */
export interface SyncState {
  /** Whether a pass has reached the end of the list. */
  readonly isWhole: boolean
  /** The lowest position down to which a first pass has stored everything; null once the list is whole. */
  readonly bottomCreatedAt: string | null
  /** Where the sweep continues; null: at the top. */
  readonly sweepCreatedAt: string | null
  /** When the current round of the sweep began. */
  readonly sweepStartedAt: Date | null
  readonly lastSweepAt: Date | null
  /** Where an unfinished full pass continues, and when it began. */
  readonly fullCreatedAt: string | null
  readonly fullStartedAt: Date | null
  /** Where the reading of open jobs continues; null: at the newest. */
  readonly openCreatedAt: string | null
  /** When the table was last proved to hold what the API listed. */
  readonly lastCompleteAt: Date | null
  /** Every listed job has been read at or after this moment. */
  readonly rereadSince: Date | null
  /** Whether the API listed the jobs in another order than newest first. */
  readonly isUnsorted: boolean
  /** Stored minus listed jobs, where a full pass could not remove that difference. */
  readonly triedDifference: number | null
  /** Whether the list has lost jobs. Then only pages that overlap are known to join. */
  readonly losesJobs: boolean
  /** Total of the first answer of the first pass, and of its last answer once it has ended; null once the pass is proved. */
  readonly passTotal: number | null
  /** When the newest job of that answer was created. */
  readonly passCreatedAt: string | null
}

/** The request budget as the API last reported it. */
export interface ReportedBudget {
  readonly limit: number
  readonly remaining: number
  readonly resetAt: Date | null
}

/** The state of an account as a run finds it. */
interface OpenedState extends SyncState {
  /** What the last run kept of the results of batches; null: results were off, or there was no run. */
  readonly resultsMode: string | null
}

/** Reads the state of an account. Creates it for an account that has none. */
export async function openSyncState(db: Database, account: string): Promise<OpenedState> {
  await db.syncState.createMany({ data: [{ account }], skipDuplicates: true })
  // Raw SQL: positions are read as text, because a Date would drop their microseconds.
  const [row] = await db.$queryRaw<OpenedState[]>`
    SELECT is_whole AS "isWhole", ${isoText('bottom_created_at')} AS "bottomCreatedAt",
      ${isoText('sweep_created_at')} AS "sweepCreatedAt", sweep_started_at AS "sweepStartedAt",
      last_sweep_at AS "lastSweepAt", ${isoText('full_created_at')} AS "fullCreatedAt",
      full_started_at AS "fullStartedAt", ${isoText('open_created_at')} AS "openCreatedAt",
      last_complete_at AS "lastCompleteAt", reread_since AS "rereadSince", is_unsorted AS "isUnsorted",
      tried_difference AS "triedDifference", loses_jobs AS "losesJobs", pass_total AS "passTotal",
      ${isoText('pass_created_at')} AS "passCreatedAt", results_mode AS "resultsMode"
    FROM spidra.sync_state WHERE account = ${account}`
  if (row === undefined) throw new Error(`the state of account ${account} vanished while it was read`)
  return row
}

/**
 * Saves the given parts of the state, and leaves the rest as it is.
 *
 * @throws RunClosedError when the run is no longer `running`: another run may have saved a newer state.
 */
export async function saveSyncState(db: Database, run: RunKey, change: Partial<SyncState>): Promise<void> {
  const columns = Object.entries(change).map(([name, value]) => [toColumn(name), value])
  // Raw SQL: the fence, and positions with their microseconds.
  const saved = await db.$executeRaw`
    WITH ${fenceOf(run)}
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

/** Saves the request budget, so that other processes can show it. */
export async function saveBudget(db: Database, account: string, budget: ReportedBudget): Promise<void> {
  const columns = { rateLimit: budget.limit, rateRemaining: budget.remaining, rateResetAt: budget.resetAt }
  await upsertState(db, account, columns)
}

/** Saves when the next run is due, so that other processes can show it. */
export async function saveNextRun(db: Database, account: string, nextRunAt: Date | null): Promise<void> {
  await upsertState(db, account, { nextRunAt })
}

/** Saves after how many hours without progress an open job counts as stuck, for the views. Writes only a new value. */
export async function saveStuckAfter(db: Database, account: string, stuckAfterHours: number): Promise<void> {
  await db.syncState.updateMany({
    where: { account, stuckAfterHours: { not: stuckAfterHours } },
    data: { stuckAfterHours },
  })
}

/** One `INSERT .. ON CONFLICT DO UPDATE`, because another process may create the state at the same moment. */
async function upsertState(
  db: Database,
  account: string,
  columns: Omit<Prisma.SyncStateUncheckedCreateInput, 'account'>,
): Promise<void> {
  const select = { account: true }
  await db.syncState.upsert({ where: { account }, create: { account, ...columns }, update: columns, select })
}
