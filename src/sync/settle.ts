import { markRemoved } from '../db/batch-jobs.js'
import { countLiveJobs } from '../db/batch-jobs-read.js'
import { countOpenRejections, settleRejectedJobs } from '../db/rejected-jobs.js'
import type { Page } from './page.js'
import type { Pass } from './pass.js'
import { decideVerdict, isMassRemoval, type PartialReason, type Verdict } from './verdict.js'
import type { WalkEnd } from './walk.js'
import { checkWindow, createStretch } from './window.js'

/** The verdict of a run, and the counts it was taken on; null where there are none. */
export type SyncResult = Verdict & { readonly listedTotal: number | null; readonly storedTotal: number | null }

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

/** The verdict on an answer for page 1, at the end of a pass or in its middle. Equal counts move `lastCompleteAt`. */
export async function judge(pass: Pass, head: Page, { hasReadAll } = { hasReadAll: false }): Promise<SyncResult> {
  const { db, run, counters } = pass
  const { missing } = pass.list
  if (missing.size > 0) {
    const isMass = isMassRemoval(missing.size, await countLiveJobs(db, run.account))
    if (isMass && !pass.acceptRemovals) return withoutCounts(pass, 'foreign')
    const isProven = [...pass.list.doubts].every((doubt) => doubt === 'no_overlap')
    if (isProven) counters.removed += await markRemoved(db, run, [...missing])
    missing.clear()
  }
  if (hasReadAll) await settleRejectedJobs(db, run, pass.writer.rejectionsMet())

  const storedTotal = await countListable(pass)
  const verdict = decideVerdict({
    isWhole: pass.list.coverage.kind === 'whole' && !pass.list.isUnproven,
    hasFaultyPage: pass.reader.faultyPages > 0,
    listedTotal: head.total,
    storedTotal,
    isDoubtful: pass.list.doubts.has('no_overlap') || (pass.list.doubts.size > 0 && !pass.reader.isStill),
  })
  if (verdict.status === 'complete') {
    // The list grew by exactly its newcomers. So it had lost no job until then, and equal totals were a proof.
    const isProved = pass.list.firstPass !== null && head.total > pass.list.firstPass.total
    if (isProved) pass.list.firstPass = null
    const proved = isProved ? { passTotal: null, passCreatedAt: null } : {}
    await pass.writer.save({ lastCompleteAt: instantOf(pass, head), ...proved })
  }
  return { ...verdict, listedTotal: head.total, storedTotal }
}

/** A list of one page is covered by that page, from its newest job to its end. */
async function coverOnlyPage(pass: Pass, page: Page): Promise<void> {
  await checkWindow(pass, createStretch(page).takeWindow(), true)
  const isCovered = pass.state.isWhole && pass.state.fullStartedAt === null
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
