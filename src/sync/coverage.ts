import { hasStored } from '../db/batch-jobs-read.js'
import type { Database } from '../db/client.js'
import type { SyncState } from '../db/sync-state.js'
import { type Micros, toMicros, toTimestamp } from './instant.js'
import type { Page } from './page.js'

/**
 * Which part of the list is stored without holes.
 *
 * - `none`: no pass has begun, or nothing is stored.
 * - `down_to`: everything listed between the newest stored job and `bottom`; covered ground is what is stored and
 *   strictly newer, because jobs that tie with the bottom may go on below it.
 * - `whole`: a pass has reached the end of the list.
 */
export type Coverage =
  | { readonly kind: 'none' }
  | { readonly kind: 'down_to'; readonly bottom: Micros }
  | { readonly kind: 'whole' }

/** The state of an account that has to be read like the first time. */
export const NOTHING_COVERED = {
  isWhole: false,
  bottomCreatedAt: null,
  fullCreatedAt: null,
  fullStartedAt: null,
  passTotal: null,
  passCreatedAt: null,
} as const

/**
 * Reads the coverage out of what is stored of the account.
 *
 * @param newestStored `createdAt` of the newest live job; null when none is stored, so that there is no ground to stand on.
 */
export function toCoverage(
  { isWhole, bottomCreatedAt }: Pick<SyncState, 'isWhole' | 'bottomCreatedAt'>,
  newestStored: Micros | null,
): Coverage {
  if (newestStored === null) return { kind: 'none' }
  if (isWhole) return { kind: 'whole' }
  if (bottomCreatedAt === null) return { kind: 'none' }
  const bottom = toMicros(bottomCreatedAt)
  // Where all that is stored ties with the bottom, nothing is covered.
  return newestStored > bottom ? { kind: 'down_to', bottom } : { kind: 'none' }
}

/** Whether the page touches covered ground, so that nothing between it and the ground can be missing. */
export async function touchesCovered(db: Database, account: string, coverage: Coverage, page: Page): Promise<boolean> {
  switch (coverage.kind) {
    case 'none':
      return false
    case 'down_to':
      return hasStored(db, account, [...page.uuids], toTimestamp(coverage.bottom))
    case 'whole':
      return hasStored(db, account, [...page.uuids], null)
    default:
      return coverage satisfies never
  }
}
