import { hasStored, rankOf } from '../db/batch-jobs-read.js'
import { type Micros, toTimestamp } from './instant.js'
import { isLast, overlaps, type Page, type PageAsked } from './page.js'
import type { Pass } from './pass.js'
import { deepestPage, isSoundSeam, pageAt } from './seam.js'
import { checkWindow, createStretch } from './window.js'

/** Overlap that each try asks for, as a share of a page; at least one job. The walk gives up on a list that moves faster. */
const OVERLAPS = [0, 1 / 16, 1 / 4, 1 / 2, 1, 2]

/** The most pages that a walk reads, as a multiple of the list's pages. Overlapping pages are 1.3 times as many at most. */
const MOST_ROUNDS = 4

export interface WalkOptions {
  /** Whether the walk is part of a pass over the whole list. Such a walk ends with `loss` as soon as the pass proves nothing. */
  readonly isFull?: boolean
  /** Whether to read on below a seam that is not proved. Default: the walk ends `broken`. */
  readonly readsOn?: boolean
  /** Whether `start` is merged already. */
  readonly isStartMerged?: boolean
  /** Ends the walk after the page. Default: never. */
  readonly until?: (page: Page) => boolean
  /**
   * Called when everything down to `bottom` (null: the end of the list) is merged, and its window checked. `isProven`: no seam
   * of the walk was left unproved.
   */
  readonly onWindow?: (bottom: Micros | null, isProven: boolean) => Promise<void>
}

/**
 * Why a walk ended.
 *
 * - `end`: the list ended.
 * - `until`: the caller's condition held.
 * - `broken`: pages did not join after all tries, or an answer stayed faulty. A walk that read on says so at the end of the list.
 * - `loss`: a full walk that took equal totals for proof found that the list loses jobs; what it read proves nothing.
 * - `foreign`: the list ended and held no stored job, as with the key of another account.
 */
export type WalkEnd = 'end' | 'until' | 'broken' | 'loss' | 'foreign'

/**
 * Reads the list downwards from `start`, merges its pages, and checks in the windows they form which stored jobs are gone.
 *
 * The walk merges nothing before it has reached a stored job. Otherwise a crash would leave an island of jobs with an
 * unknown hole below it. The pages above it are not merged;
 * `reachHead` reads them later, climbing from stored jobs to page 1. Only a first pass,
 * with nothing stored below, merges from its first page on.
 */
export async function walkDown(pass: Pass, start: Page, options: WalkOptions = {}): Promise<WalkEnd> {
  const { isFull = false, readsOn = false, isStartMerged = false, until = () => false, onWindow } = options
  let page = start
  let isJoined = pass.list.coverage.kind !== 'whole' || (await pass.list.touches(start))
  let isProven = start.fault === null
  let isUsable = isProven
  let stretch = createStretch(start)
  let steps = 0

  async function decideWindow(isEnd: boolean): Promise<void> {
    const window = stretch.takeWindow()
    if (stretch.isSorted) await checkWindow(pass, window, stretch.isOverlapping)
    // The last date of an unsorted stretch is no position in the list. Only the end of the list is one.
    const isPosition = stretch.isSorted || isEnd
    // Called later, when the walk may have met a seam that is not proved.
    const wasProven = isProven
    if (onWindow && isPosition) await pass.writer.whenMerged(() => onWindow(window.after, wasProven))
  }

  for (;;) {
    const isEnd = isLast(page) && page.fault === null
    if (isEnd && !isJoined && pass.newestStored !== null) return 'foreign'
    isJoined ||= isEnd
    if (isJoined && !(isStartMerged && page === start))
      await pass.writer.merge(isUsable ? page : pass.list.withoutNewcomers(page))
    // Without proof a walk stops only where the next one can go on. With nothing covered, that one would begin at the top again.
    const isPlace = pass.list.coverage.kind !== 'none' && stretch.isSorted && page.fault === null
    const mayStop = isProven || !readsOn || isPlace
    const isOver = isEnd || (isJoined && mayStop && until(page))
    if (isJoined && page.fault === null && (isOver || stretch.answers >= pass.sizes.windowAnswers)) {
      await decideWindow(isEnd)
    }
    if (isFull && pass.list.isUnproven) return 'loss'
    if (isEnd) return isProven ? 'end' : 'broken'
    if (isOver) return isProven || readsOn ? 'until' : 'broken'

    steps += 1
    // Where pages cannot overlap, answers of different age may lead in a circle.
    if (steps > MOST_ROUNDS * Math.ceil(page.total / pass.limit) + MOST_ROUNDS) return 'broken'
    // The walk is far above the stored jobs, or in the list of another account. `reachHead` finds out which.
    if (!isJoined && steps > pass.sizes.minSlicePages) return 'broken'

    const { lower, isSound } = await readBelow(pass, page)
    pass.signal.throwIfAborted()
    isJoined ||= await pass.list.touches(lower)
    isUsable = isSound
    const isOverlapping = overlaps(page, lower)
    if (isSound && (isOverlapping || !pass.list.losesJobs)) {
      stretch.add(lower, isOverlapping)
    } else if (isSound) {
      // In a list that loses jobs, pages that only adjoin prove nothing together. Each proves which jobs are gone inside it.
      await decideWindow(false)
      stretch = createStretch(lower)
    } else {
      isProven = false
      // A faulty answer may look like the end of the list only because it is empty. Two faulty ones in a row are taken as the end.
      const isListOver = isLast(lower) && (lower.fault === null || page.fault !== null)
      if (!readsOn || !isJoined || isListOver || lower.end <= page.end) return 'broken'
      stretch = createStretch(lower)
    }
    page = lower
  }
}

/** What was read to go on below a page. */
interface Step {
  /** The page to go on from. If the join is not proved, it may even lie higher than the page above. */
  readonly lower: Page
  /** Whether it is proved that it joins the page above. */
  readonly isSound: boolean
}

/**
 * Reads the page below `page` so that nothing between the two can be missing.
 *
 * In a list that loses nothing that is the page that adjoins. Else, and where that one does not join, it is a page that
 * begins a little above the end of `page`, each time further up. The total shows what came or went meanwhile: a job that
 * came moved the place down by one. A job removed above the place moved it up by one; one removed below did not move it.
 */
async function readBelow(pass: Pass, page: Page): Promise<Step> {
  const backs = OVERLAPS.map((pages, index) => index + Math.max(1, Math.ceil(pages * pass.limit)))
  let furthest: Page | null = null
  for (const [tries, back] of (pass.list.mustOverlap ? backs : [0, ...backs]).entries()) {
    const moved = (pass.reader.latestTotal ?? page.total) - page.total
    const asked = await below(pass, page.end + moved - back, back > 0)
    const lower = await pass.reader.ask(asked.number, asked.limit)
    if (furthest === null || lower.end > furthest.end) furthest = lower
    if (isSoundSeam(page, lower, pass.list.mustOverlap) && reachesBelow(lower, page)) {
      await checkOrder(pass, page, lower)
      return { lower, isSound: true }
    }
    // The client has retried the faulty answer already.
    if (page.fault !== null || lower.fault !== null) break
    if (tries === 0) pass.counters.seamsRepaired += 1
  }
  // A full walk reads on, from the lowest answer.
  return { lower: furthest ?? page, isSound: false }
}

/** Whether the page, which joins the one above, gets further down the list than that one, or is the end of the list. */
function reachesBelow(lower: Page, upper: Page): boolean {
  const last = lower.jobs.at(-1)
  if (isLast(lower)) return true
  return last !== undefined && overlaps(lower, upper) ? !upper.uuids.has(last) : lower.end > upper.end
}

async function below(pass: Pass, place: number, isOverlapping: boolean): Promise<PageAsked> {
  if (!isOverlapping || pass.list.doubts.has('no_overlap')) return pageAt(place, pass.limit)
  const asked = deepestPage(place, pass.limit)
  if (asked !== null) return asked
  await pass.list.doubtOverlap()
  return pageAt(place + 1, pass.limit)
}

/**
 * Checks that a page joined by equal totals holds older jobs than the page above and, if the whole list was read before, at
 * least one stored job. If not, it asks for page 1 twice: a proxy or a load balancer may answer with two lists in turn.
 */
async function checkOrder({ reader, list }: Pass, upper: Page, lower: Page): Promise<void> {
  if (list.isOrderChecked || list.doubts.has('unsorted') || overlaps(upper, lower)) return
  const isOlder = upper.oldest === null || lower.newest === null || lower.newest <= upper.oldest
  // Once the coverage is whole, each job that is listed below the newest stored one is stored too.
  const isKnown = list.coverage.kind !== 'whole' || lower.uuids.size === 0 || (await list.touches(lower))
  if (isOlder && isKnown) return
  list.isOrderChecked = true
  await reader.ask(1)
  await reader.ask(1)
}

/**
 * Finds the page to go on from below a position: steps up page by page until the page begins strictly above the position,
 * since jobs that tie with it may stand on both sides of it. The rank in the table gives the first page to try.
 */
export async function askAbove(pass: Pass, position: Micros): Promise<Page> {
  const rank = await rankOf(pass.db, pass.run.account, toTimestamp(position), { gone: [...pass.list.missing] })
  let page = await pass.reader.ask(Math.max(1, Math.ceil(rank / pass.limit)))
  while (page.number > 1 && !(await isAbove(pass, page, position))) page = await pass.reader.ask(page.number - 1)
  return page
}

async function isAbove(pass: Pass, page: Page, position: Micros): Promise<boolean> {
  if (page.fault !== null || page.newest === null || page.newest <= position) return false
  // While the first pass is unfinished, only what is stored above its position is ground to go on from.
  if (pass.list.coverage.kind !== 'down_to') return true
  return hasStored(pass.db, pass.run.account, [...page.uuids], toTimestamp(position))
}
