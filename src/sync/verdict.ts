/** Why a run is not complete, in words a dashboard can group by. */
export type PartialReason =
  | 'first_pass_unfinished'
  | 'page_faulty'
  | 'list_moving'
  | 'fewer_stored_than_listed'
  | 'more_stored_than_listed'
  | 'mass_removal'
  | 'assumption_broken'
  | 'two_lists'

/** What is known when a pass has ended, on one answer for page 1 that touches covered ground or is the only page. */
export interface Evidence {
  /** A pass has reached the end of the list over sound seams. */
  readonly isWhole: boolean
  /** A page stayed faulty after all retries. */
  readonly hasFaultyPage: boolean
  /** `total` of that answer. */
  readonly listedTotal: number
  /** Live jobs stored, plus open rejections of jobs that are not. */
  readonly storedTotal: number
  /** An answer showed an assumption broken, and total or head changed meanwhile; or pages cannot overlap and had to. */
  readonly isDoubtful: boolean
}

export type Verdict =
  | { readonly status: 'complete'; readonly reason: null }
  | { readonly status: 'partial'; readonly reason: PartialReason }

/**
 * Decides whether the table holds exactly what the API lists.
 *
 * Sound seams and a head that touches covered ground mean that every listed job is stored, or kept as a rejection. So
 * what is stored is never fewer than `total`, and equal counts mean equal sets. A total from another page would prove
 * nothing: one job may come and another go unseen in between.
 */
export function decideVerdict({ isWhole, hasFaultyPage, listedTotal, storedTotal, isDoubtful }: Evidence): Verdict {
  if (!isWhole) return { status: 'partial', reason: 'first_pass_unfinished' }
  if (hasFaultyPage) return { status: 'partial', reason: 'page_faulty' }
  if (storedTotal < listedTotal) return { status: 'partial', reason: 'fewer_stored_than_listed' }
  if (storedTotal > listedTotal) return { status: 'partial', reason: 'more_stored_than_listed' }
  if (isDoubtful) return { status: 'partial', reason: 'assumption_broken' }
  return { status: 'complete', reason: null }
}

/** Removals up to this number are never a mass. */
const MASS_REMOVAL_JOBS = 50

/** Removals up to this share of the live jobs are never a mass. */
const MASS_REMOVAL_SHARE = 0.2

/**
 * Decides whether so many jobs are gone that another cause is likelier, such as the key of another account: all of
 * them, or more than 50 and more than a fifth.
 */
export function isMassRemoval(missing: number, live: number): boolean {
  if (missing === 0) return false
  return missing >= live || (missing > MASS_REMOVAL_JOBS && missing > MASS_REMOVAL_SHARE * live)
}
