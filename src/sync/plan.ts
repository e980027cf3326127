import type { SyncState } from '../db/sync-state.js'
import type { WindowRest } from './pass.js'
import type { RunMode } from './run-summary.js'

/** Open jobs may take so much of an incremental run's pages; the rest is for the sweep. */
const OPEN_SHARE = 3 / 4

/**
 * What a run must be. Full when asked for; until the first pass has reached the end of the list, and a full pass that
 * was cut off has; and where the list is not sorted, because then no page says what is gone.
 */
export function modeOf(asked: RunMode, state: Pick<SyncState, 'isWhole' | 'fullStartedAt' | 'isUnsorted'>): RunMode {
  const isUnfinished = !state.isWhole || state.fullStartedAt !== null
  return asked === 'full' || isUnfinished || state.isUnsorted ? 'full' : 'incremental'
}

/**
 * Whether a full pass over stored jobs may read on, or leaves the rest of the window to the heads that are still due in
 * it: freshness must not wait for the next window. At most half of a window is kept for that.
 *
 * @param refresh `dueInMs`: until the next head is due; `everyMs`: between two; `requests`: what each costs.
 */
export function mayReadOn(
  rest: WindowRest | null,
  { dueInMs, everyMs, requests }: { readonly dueInMs: number; readonly everyMs: number; readonly requests: number },
): boolean {
  if (rest === null) return true
  const heads = dueInMs >= rest.endsInMs ? 0 : 1 + Math.floor((rest.endsInMs - dueInMs) / everyMs)
  return rest.requests > Math.min(heads * requests, rest.share / 2)
}

/** Pages that an incremental run may spend on open jobs. */
export function openAllowance(pagesPerRun: number): number {
  return Math.floor(pagesPerRun * OPEN_SHARE)
}

/** Whether this is the first incremental run of a period of `everyMs`, an hour by default; periods count from 1970. */
export function isSweepDue(lastSweepAt: Date | null, now: Date, everyMs: number): boolean {
  const periodOf = (instant: Date) => Math.floor(instant.getTime() / everyMs)
  return lastSweepAt === null || periodOf(lastSweepAt) !== periodOf(now)
}
