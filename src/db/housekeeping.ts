import { type Database, readDatabaseTime } from './client.js'

/** Numbers of rows that were deleted. */
export interface Pruned {
  readonly runs: number
  readonly events: number
  readonly rejections: number
}

const DAY_MS = 24 * 60 * 60_000

/**
 * Deletes what is older than `days`, by the clock of the database: finished runs, change events, and resolved rejections of
 * the account. Jobs and open rejections are never deleted.
 */
export async function pruneHistory(db: Database, account: string, days: number): Promise<Pruned> {
  const lt = new Date((await readDatabaseTime(db)).getTime() - days * DAY_MS)
  const runs = await db.syncRun.deleteMany({ where: { account, status: { not: 'running' }, finishedAt: { lt } } })
  const events = await db.batchJobEvent.deleteMany({ where: { account, observedAt: { lt } } })
  const rejections = await db.rejectedJob.deleteMany({ where: { account, resolvedAt: { lt } } })
  return { runs: runs.count, events: events.count, rejections: rejections.count }
}

/**
 * Computes the sums behind `spidra_reporting.daily_batch_jobs` again for the days whose jobs changed, and returns the
 * number of days. Triggers mark such days, and the view adds up their jobs itself: it is exact without this
 * function, and fast with it.
 */
export async function refreshDailyTotals(db: Database, account: string): Promise<number> {
  // Raw SQL: it calls a function of the database.
  const [row] = await db.$queryRaw<{ days: number }[]>`SELECT spidra.keep_stale_days(${account}) AS days`
  return row?.days ?? 0
}
