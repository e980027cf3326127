import { type Database, readDatabaseTime } from './client.js'
import { databaseErrorCode } from './connection-error.js'

/** Numbers of rows that were deleted. */
export interface Pruned {
  readonly runs: number
  readonly events: number
  readonly rejections: number
}

const DAY_MS = 24 * 60 * 60_000

/** Rows that one statement deletes. */
const DELETED_AT_ONCE = 5_000

/**
 * Deletes what is older than `days`, by the clock of the database: finished runs, change events, and resolved rejections of
 * the account. Jobs and open rejections are never deleted. In portions, because a year of events is more than a statement may
 * take time for. An abort of `signal` ends it between two.
 */
export async function pruneHistory(
  db: Database,
  account: string,
  days: number,
  { signal, atOnce: limit = DELETED_AT_ONCE }: { readonly signal?: AbortSignal; readonly atOnce?: number } = {},
): Promise<Pruned> {
  const lt = new Date((await readDatabaseTime(db)).getTime() - days * DAY_MS)
  return {
    runs: await deleteAll(limit, signal, () =>
      db.syncRun.deleteMany({ where: { account, status: { not: 'running' }, finishedAt: { lt } }, limit }),
    ),
    events: await deleteAll(limit, signal, () =>
      db.batchJobEvent.deleteMany({ where: { account, observedAt: { lt } }, limit }),
    ),
    rejections: await deleteAll(limit, signal, () =>
      db.rejectedJob.deleteMany({ where: { account, resolvedAt: { lt } }, limit }),
    ),
  }
}

async function deleteAll(
  limit: number,
  signal: AbortSignal | undefined,
  deleteSome: () => Promise<{ readonly count: number }>,
): Promise<number> {
  let deleted = 0
  for (;;) {
    signal?.throwIfAborted()
    const { count } = await deleteSome()
    deleted += count
    if (count < limit) return deleted
  }
}

/** Days that one statement computes. */
const DAYS_AT_ONCE = 16

/**
 * Computes the sums behind `spidra_reporting.daily_batch_jobs` again for the days whose jobs changed, and returns the
 * number of days. Triggers mark such days, and the view adds up their jobs itself: it is exact without this
 * function, and fast with it.
 *
 * Where the role's `statement_timeout` or our deadline ends a statement, the next one takes half the days, at least one.
 */
export async function refreshDailyTotals(
  db: Database,
  account: string,
  atOnce: number = DAYS_AT_ONCE,
): Promise<number> {
  let refreshed = 0
  let most = atOnce
  for (;;) {
    try {
      // Raw SQL: it calls a function of the database.
      const [row] = await db.$queryRaw<{ days: number }[]>`
        SELECT spidra.keep_stale_days(${account}, ${most}::integer) AS days`
      const days = row?.days ?? 0
      refreshed += days
      if (days < most) return refreshed
    } catch (error) {
      if (!['time_limit', 'no_answer'].includes(databaseErrorCode(error) ?? '') || most === 1) throw error
      most = Math.ceil(most / 2)
    }
  }
}
