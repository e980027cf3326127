import type { Database } from '../db/client.js'
import { readRunningMode } from '../db/sync-runs.js'
import type { RunSummary } from '../sync/run-summary.js'

/**
 * Whether a full run that was due before this run ended is still to be done. A full run does the work of all that are due
 * while it is under way, be it this one or, where this one was skipped, that of another process. A run that was asked to be
 * incremental is full too while a pass is unfinished: `summary.mode` is what it really was.
 */
export async function isFullRunLeft(
  db: Database,
  { status, mode, account }: Pick<RunSummary, 'status' | 'mode' | 'account'>,
): Promise<boolean> {
  const modeUnderWay = status === 'skipped' ? await readRunningMode(db, account) : mode
  return modeUnderWay !== 'full'
}
