import type { SyncState } from '../db/sync-state.js'
import type { RunMode } from './run-summary.js'

/**
 * Decides the mode of a run. It is full if
 *
 * - a full run was asked for,
 * - the first pass has not reached the end of the list,
 * - a full pass was interrupted, or
 * - the list is not sorted, so that no page shows which jobs are gone.
 */
export function modeOf(asked: RunMode, state: Pick<SyncState, 'isWhole' | 'fullStartedAt' | 'isUnsorted'>): RunMode {
  const isUnfinished = !state.isWhole || state.fullStartedAt !== null
  return asked === 'full' || isUnfinished || state.isUnsorted ? 'full' : 'incremental'
}
