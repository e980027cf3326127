import { markRemoved } from '../db/batch-jobs.js'
import { countLiveJobs } from '../db/batch-jobs-read.js'
import { countOpenRejections, settleRejectedJobs } from '../db/rejected-jobs.js'
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

/** The verdict on an answer for page 1, at the end of a pass or in its middle. Equal counts move `lastCompleteAt`. */
export async function judge(pass: Pass, head: Page, { hasReadAll } = { hasReadAll: false }): Promise<SyncResult> {
  const { db, run, counters, missing } = pass
  if (missing.size > 0) {
    const isMass = isMassRemoval(missing.size, await countLiveJobs(db, run.account))
    if (isMass && !pass.acceptRemovals) return withoutCounts(pass, 'foreign')
    const isProven = [...pass.doubts].every((doubt) => doubt === 'no_overlap')
    if (isProven) counters.removed += await markRemoved(db, run, [...missing])
    missing.clear()
  }
  if (hasReadAll) await settleRejectedJobs(db, run, pass.rejectionsMet())

  const storedTotal = await countListable(pass)
  const verdict = decideVerdict({
    isWhole: pass.coverage.kind === 'whole' && !pass.isUnproven,
    hasFaultyPage: pass.faultyPages > 0,
    listedTotal: head.total,
    storedTotal,
    isDoubtful: pass.doubts.has('no_overlap') || (pass.doubts.size > 0 && !pass.isStill),
  })
  if (verdict.status === 'complete') {
    // The list grew, and no job is stored too much: so it had lost none until then, and equal totals were a proof.
    const isProved = pass.firstPass !== null && head.total > pass.firstPass.total
    if (isProved) pass.firstPass = null
    const proved = isProved ? { passTotal: null, passCreatedAt: null } : {}
    await pass.save({ lastCompleteAt: instantOf(pass, head), ...proved })
  }
  return { ...verdict, listedTotal: head.total, storedTotal }
}

/** A list of one page is covered by that page, from its newest job to its end. */
async function coverOnlyPage(pass: Pass, page: Page): Promise<void> {
  await pass.checkWindow(createStretch(page).takeWindow(), true)
  const isCovered = pass.state.isWhole && pass.state.fullStartedAt === null
  pass.coverage = { kind: 'whole' }
  pass.firstPass = null
  const rereadSince = instantOf(pass, page)
  await pass.save(
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
  return pass.faultyPages > 0 ? 'page_faulty' : 'list_moving'
}

/** When the list was as the page shows it, at the earliest. */
function instantOf({ now }: Pass, page: Page): Date {
  return new Date(now().getTime() - (performance.now() - page.askedAt))
}
