import type { Database } from './client.js'

/**
 * Keeps the sums behind `spidra_reporting.daily_batch_jobs` for the days whose jobs changed, and gives their number.
 * Triggers mark those days as stale, whoever writes; the view aggregates stale days live. So it is exact without this,
 * and fast with it.
 */
export async function keepDailyTotals(db: Database, account: string): Promise<number> {
  const [row] = await db.$queryRaw<{ days: number }[]>`SELECT spidra.keep_stale_days(${account}) AS days`
  return row?.days ?? 0
}
