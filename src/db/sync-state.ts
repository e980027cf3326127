import type { Database } from './client.js'

/** What a run needs to know of the runs before it. Timestamps are ISO 8601 text with microseconds. */
export interface StoredState {
  /** A pass has reached the end of the list. */
  readonly isWhole: boolean
  /** Down to where a first pass has stored everything, while it is not whole. */
  readonly bottomCreatedAt: string | null
}

/** The request budget as the API last told it. */
export interface ToldBudget {
  readonly limit: number
  readonly remaining: number
  readonly resetAt: Date | null
}

/** Reads the state of an account; of one never seen, that nothing is covered. */
export async function loadSyncState(db: Database, account: string): Promise<StoredState> {
  const [row] = await db.$queryRaw<StoredState[]>`
    SELECT s.is_whole AS "isWhole",
      to_char(s.bottom_created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "bottomCreatedAt"
    FROM spidra.sync_state s WHERE s.account = ${account}`
  return row ?? { isWhole: false, bottomCreatedAt: null }
}

/** Notes down to where the list is stored without holes. */
export async function saveCoverage(
  db: Database,
  account: string,
  coverage: { readonly isWhole: boolean; readonly bottomCreatedAt: string | null },
): Promise<void> {
  await db.$executeRaw`
    INSERT INTO spidra.sync_state AS s (account, is_whole, bottom_created_at)
    VALUES (${account}, ${coverage.isWhole}, ${coverage.bottomCreatedAt}::timestamptz)
    ON CONFLICT (account) DO UPDATE
    SET is_whole = excluded.is_whole, bottom_created_at = excluded.bottom_created_at`
}

/** Notes that the table held what the API listed at `at`. */
export async function saveComplete(db: Database, account: string, at: Date): Promise<void> {
  const data = { lastCompleteAt: at }
  await db.syncState.upsert({ where: { account }, create: { account, ...data }, update: data })
}

/** Notes the request budget, so that other processes can show it. */
export async function saveBudget(db: Database, account: string, budget: ToldBudget): Promise<void> {
  const data = { rateLimit: budget.limit, rateRemaining: budget.remaining, rateResetAt: budget.resetAt }
  await db.syncState.upsert({ where: { account }, create: { account, ...data }, update: data })
}

/** Notes when the next run is due, so that other processes can show it. */
export async function saveNextRun(db: Database, account: string, nextRunAt: Date | null): Promise<void> {
  const data = { nextRunAt }
  await db.syncState.upsert({ where: { account }, create: { account, ...data }, update: data })
}
