import { markRemoved } from '../db/batch-jobs.js'
import { countLiveJobs } from '../db/batch-jobs-read.js'
import { countOpenRejections, settleRejectedJobs } from '../db/rejected-jobs.js'
import type { Page } from './page.js'
import type { Pass } from './pass.js'
import type { WalkEnd } from './walk.js'
import { checkWindow, createStretch } from './window.js'

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

// Stryker disable all: what follows reads the database. Its tests need Postgres, such as test/sync/mass-removal.test.ts.

/** The verdict of a run, and the counts it was taken on; null where there are none. */
export type SyncResult = Verdict & { readonly listedTotal: number | null; readonly storedTotal: number | null }

/** How many more jobs are stored than listed; 0 where nothing was counted. */
export function surplusOf({ listedTotal, storedTotal }: SyncResult): number {
  return (storedTotal ?? 0) - (listedTotal ?? 0)
}

/** Counts what the API should list by the table: live jobs that are not missing, and open rejections. */
export async function countListable({ db, run, list }: Pass): Promise<number> {
  return (await countLiveJobs(db, run.account)) - list.missing.size + (await countOpenRejections(db, run.account))
}

/**
 * Ends a pass on an answer for page 1 that `reachHead` gave: marks what is missing as removed, and takes the verdict.
 *
 * @param hasReadAll whether the pass has read every page, so that rejections it did not meet are no longer listed.
 */
export async function settle(
  pass: Pass,
  head: Page,
  { hasReadAll }: { readonly hasReadAll: boolean },
): Promise<SyncResult> {
  if (head.totalPages <= 1) await coverOnlyPage(pass, head)
  return judge(pass, head, { hasReadAll: hasReadAll || head.totalPages <= 1 })
}

/**
 * The verdict on an answer for page 1, at the end of a pass or in its middle. Equal counts move `lastCompleteAt`.
 *
 * A search finds gaps one after the other, so a mass removal shows in the counts before all of its jobs are missing.
 */
export async function judge(pass: Pass, head: Page, { hasReadAll } = { hasReadAll: false }): Promise<SyncResult> {
  const { db, run, counters } = pass
  const { missing } = pass.list
  let live = await countLiveJobs(db, run.account)
  const surplus = pass.list.coverage.kind === 'whole' ? live - head.total : 0
  const isMass = isMassRemoval(Math.max(missing.size, surplus), live)
  if (isMass && !pass.acceptRemovals) return withoutCounts(pass, 'foreign')
  if (missing.size > 0) {
    const isProven = [...pass.list.doubts].every((doubt) => doubt === 'no_overlap')
    const removed = isProven ? await markRemoved(db, run, [...missing]) : 0
    counters.removed += removed
    live -= removed
    missing.clear()
  }
  if (hasReadAll) await settleRejectedJobs(db, run, pass.writer.rejectionsMet())

  const storedTotal = live + (await countOpenRejections(db, run.account))
  const verdict = decideVerdict({
    isWhole: pass.list.coverage.kind === 'whole' && !pass.list.isUnproven,
    hasFaultyPage: pass.reader.faultyPages > 0,
    listedTotal: head.total,
    storedTotal,
    isDoubtful: pass.list.lacksOverlaps || (pass.list.doubts.size > 0 && !pass.reader.isStill),
  })
  if (verdict.status === 'complete') {
    // The list grew by exactly its newcomers. So it had lost no job until then, and equal totals proved its pages.
    const { firstPass, losesJobs } = pass.list
    const isProved = firstPass !== null && !losesJobs && head.total > firstPass.total
    if (isProved) pass.list.firstPass = null
    const proved = isProved ? { passTotal: null, passCreatedAt: null } : {}
    await pass.writer.save({ lastCompleteAt: instantOf(pass, head), ...proved })
  }
  return { ...verdict, listedTotal: head.total, storedTotal }
}

/** A list of one page is covered by that page, from its newest job to its end. */
async function coverOnlyPage(pass: Pass, page: Page): Promise<void> {
  await checkWindow(pass, createStretch(page).takeWindow(), true)
  const isCovered = pass.state.isWhole && pass.state.fullStartedAt === null && pass.list.firstPass === null
  pass.list.coverage = { kind: 'whole' }
  pass.list.firstPass = null
  const rereadSince = instantOf(pass, page)
  await pass.writer.save(
    isCovered
      ? { rereadSince }
      : {
          isWhole: true,
          bottomCreatedAt: null,
          fullCreatedAt: null,
          fullStartedAt: null,
          passTotal: null,
          passCreatedAt: null,
          rereadSince,
        },
  )
}

/** The result of a pass that came to no verdict. */
export function withoutCounts(pass: Pass, end: Exclude<WalkEnd, 'end' | 'until'>): SyncResult {
  return { status: 'partial', reason: reasonOf(pass, end), listedTotal: null, storedTotal: null }
}

function reasonOf(pass: Pass, end: Exclude<WalkEnd, 'end' | 'until'>): PartialReason {
  if (end === 'foreign') return 'mass_removal'
  if (end === 'loss') return 'first_pass_unfinished'
  return pass.reader.faultyPages > 0 ? 'page_faulty' : 'list_moving'
}

/** When the list was as the page shows it, at the earliest. */
function instantOf({ now }: Pass, page: Page): Date {
  return new Date(now().getTime() - (performance.now() - page.askedAt))
}
