import { countLiveJobs } from '../db/batch-jobs-read.js'
import { countOpenRejections, settleRejectedJobs } from '../db/rejected-jobs.js'
import { markRemoved } from '../db/removals.js'
import { reachCoveredGround } from './head.js'
import type { Page } from './page.js'
import type { Pass } from './pass.js'
import { createStretch } from './stretch.js'
import { decideVerdict, isMassRemoval, type PartialReason, type Verdict } from './verdict.js'
import type { WalkEnd } from './walk.js'

/** The verdict of a run, and the counts it was taken on; null where there are none. */
export type SyncResult = Verdict & { readonly listedTotal: number | null; readonly storedTotal: number | null }

/** What the table holds that the API should list: live jobs that are not missing, and open rejections. */
export async function countListable({ db, run, missing }: Pass): Promise<number> {
  return (await countLiveJobs(db, run.account)) - missing.size + (await countOpenRejections(db, run.account))
}

/**
 * Ends a pass: reads the head (a one-page list is read by now), marks what is missing as removed, and takes the verdict
 * on that head.
 *
 * @param hasReadAll whether the pass has read every page, so that rejections it did not meet are no longer listed.
 */
export async function settle(
  pass: Pass,
  { only = null, hasReadAll }: { readonly only?: Page | null; readonly hasReadAll: boolean },
): Promise<SyncResult> {
  await pass.writer.drain()
  const head = await reachCoveredGround(pass, only)
  if ('end' in head) return withoutCounts(pass, head.end)
  const { page } = head
  if (page.totalPages <= 1) await coverOnlyPage(pass, page)

  const { db, run, counters, missing } = pass
  if (missing.size > 0) {
    const isMass = isMassRemoval(missing.size, await countLiveJobs(db, run.account))
    if (isMass && !pass.acceptsMassRemoval) return withoutCounts(pass, 'strange')
    if (pass.doubts.size === 0) counters.removed += await markRemoved(db, run, [...missing])
    missing.clear()
  }
  if (hasReadAll || page.totalPages <= 1) await settleRejectedJobs(db, run, pass.rejectionsMet())

  const storedTotal = await countListable(pass)
  const verdict = decideVerdict({
    isWhole: pass.coverage.kind === 'whole',
    hasFaultyPage: pass.faultyPages > 0,
    listedTotal: page.total,
    storedTotal,
    isDoubtful: pass.doubts.size > 0 && !pass.isStill,
  })
  if (verdict.status === 'complete') {
    await pass.save({ lastCompleteAt: instantOf(pass, page), massRemovalAt: null })
  }
  return { ...verdict, listedTotal: page.total, storedTotal }
}

/** A list of one page is covered by that page, from its newest job to its end. */
async function coverOnlyPage(pass: Pass, page: Page): Promise<void> {
  const window = createStretch(page).takeWindow()
  await pass.sweep(window, window)
  const isCovered = pass.coverage.kind === 'whole' && pass.state.fullStartedAt === null
  pass.coverage = { kind: 'whole' }
  const rereadSince = instantOf(pass, page)
  await pass.save(
    isCovered
      ? { rereadSince }
      : { isWhole: true, bottomCreatedAt: null, fullCreatedAt: null, fullStartedAt: null, rereadSince },
  )
}

/** The result of a pass that came to no verdict. */
export function withoutCounts(pass: Pass, end: Exclude<WalkEnd, 'end' | 'until'>): SyncResult {
  return { status: 'partial', reason: reasonOf(pass, end), listedTotal: null, storedTotal: null }
}

function reasonOf(pass: Pass, end: Exclude<WalkEnd, 'end' | 'until'>): PartialReason {
  if (end === 'strange') return 'mass_removal'
  if (end === 'gap') return 'first_pass_unfinished'
  return pass.faultyPages > 0 ? 'page_faulty' : 'list_moving'
}

/** When the list was as the page shows it, at the earliest. */
function instantOf({ now }: Pass, page: Page): Date {
  return new Date(now().getTime() - (performance.now() - page.askedAt))
}
