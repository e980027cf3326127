import type { Micros } from './instant.js'
import { isLast, overlaps, type Page } from './page.js'
import type { Pass } from './pass.js'
import { readBelow } from './read-below.js'
import { createStretch } from './stretch.js'

/** A walk reads no more pages than that many times the list has. Pages that overlap are 1.3 times as many at most. */
const MOST_ROUNDS = 4

export interface WalkOptions {
  /** Whether to read to the end of the list even where nothing can be proved any more. */
  readonly isFull?: boolean
  /** Whether `start` is merged already. */
  readonly isStartMerged?: boolean
  /** Ends the walk after the page. Default: never. */
  readonly until?: (page: Page) => boolean
  /** Called when everything down to `bottom` (null: the end of the list) is merged, and its window checked. */
  readonly onWindow?: (bottom: Micros | null) => Promise<void>
}

/**
 * Why a walk ended.
 *
 * - `end`: the list ended.
 * - `until`: the caller's condition held.
 * - `broken`: pages did not join after all tries, or an answer stayed faulty.
 * - `loss`: a full walk that took equal totals for proof found that the list loses jobs; what it read proves nothing.
 * - `foreign`: the list ended and held no stored job, as with the key of another account.
 */
export type WalkEnd = 'end' | 'until' | 'broken' | 'loss' | 'foreign'

/**
 * Reads the list downwards from `start`, merges its pages, and checks in the windows they form which stored jobs are gone.
 *
 * Nothing is merged before the walk has reached a stored job: such pages would be an island with a hole below it, of which
 * nobody knew after a crash. They count as not read, and `reachHead` reads them from below. Only a first pass, with nothing
 * stored below, merges from its first page on.
 */
export async function walkDown(pass: Pass, start: Page, options: WalkOptions = {}): Promise<WalkEnd> {
  const { isFull = false, isStartMerged = false, until = () => false, onWindow } = options
  let page = start
  let isJoined = pass.coverage.kind !== 'whole' || (await pass.touches(start))
  let isProven = start.fault === null
  let isUsable = isProven
  let stretch = createStretch(start)
  let steps = 0

  async function decideWindow(isEnd: boolean): Promise<void> {
    const window = stretch.takeWindow()
    if (stretch.isSorted) await pass.checkWindow(window, stretch.isOverlapping)
    // The bottom of an unsorted stretch says nothing; its end does.
    if (onWindow && isProven && (stretch.isSorted || isEnd)) await pass.whenMerged(() => onWindow(window.after))
  }

  for (;;) {
    const isEnd = isLast(page) && page.fault === null
    if (isEnd && !isJoined && pass.newestStored !== null) return 'foreign'
    isJoined ||= isEnd
    if (isJoined && !(isStartMerged && page === start)) await pass.merge(isUsable ? page : pass.withoutNewcomers(page))
    // Without a proof no position is kept, so that nobody could go on from here.
    const isOver = isEnd || (isJoined && (isProven || !isFull) && until(page))
    if (isJoined && page.fault === null && (isOver || stretch.answers >= pass.sizes.windowAnswers)) {
      await decideWindow(isEnd)
    }
    if (isFull && pass.isUnproven) return 'loss'
    if (isOver) return isProven ? (isEnd ? 'end' : 'until') : 'broken'

    steps += 1
    // Where pages cannot overlap, answers of different age may lead in a circle.
    if (steps > MOST_ROUNDS * Math.ceil(page.total / pass.limit) + MOST_ROUNDS) return 'broken'
    // Far above the stored jobs, or in another account's list, there is nothing to walk for: `reachHead` finds out which.
    if (!isJoined && steps > pass.sizes.minSlicePages) return 'broken'

    const { lower, isSound } = await readBelow(pass, page)
    pass.signal.throwIfAborted()
    isJoined ||= await pass.touches(lower)
    isUsable = isSound
    const isOverlapping = overlaps(page, lower)
    if (isSound && (isOverlapping || !pass.losesJobs)) {
      stretch.add(lower, isOverlapping)
    } else if (isSound) {
      // Of a list that loses jobs, pages that only adjoin prove nothing together, but each proves what is gone inside it.
      await decideWindow(false)
      stretch = createStretch(lower)
    } else {
      isProven = false
      // A faulty page that seems to be the last one may be empty by mistake, unless the one above is faulty too.
      const isListOver = isLast(lower) && (lower.fault === null || page.fault !== null)
      if (!isFull || !isJoined || isListOver || lower.end <= page.end) return 'broken'
      stretch = createStretch(lower)
    }
    page = lower
  }
}
