import { countLiveJobs } from '../db/batch-jobs-read.js'
import type { Micros } from './instant.js'
import { isLast, type Page } from './page.js'
import type { Pass } from './pass.js'
import { readBelow } from './read-below.js'
import { createStretch } from './stretch.js'

/** A gap at the head that is longer is read like a first pass, so that little is held back. */
const MAX_HELD_PAGES = 200

export interface WalkOptions {
  /** Whether nothing is stored below: then pages are merged as they come. */
  readonly isFirstPass?: boolean
  /** Whether to read to the end even where nothing can be proved any more. */
  readonly isFull?: boolean
  /** Ends the walk after the page. `touched`: covered ground is reached. Default: never. */
  readonly until?: (page: Page, touched: boolean) => boolean
  /** Hears that everything down to `bottom` (null: the end of the list) is merged, and its window swept. */
  readonly onSwept?: (bottom: Micros | null) => Promise<void>
}

/**
 * Why a walk ended: the list ended; `until` held; a seam stayed unsound or a page faulty (`broken`); the gap above
 * covered ground is too long to be held back (`gap`); the list ended and holds no job that we know (`strange`), as
 * with the key of another account. On `broken`, `gap` and `strange` what was held back is not merged.
 */
export type WalkEnd = 'end' | 'until' | 'broken' | 'gap' | 'strange'

/**
 * Reads the list downwards from `start`, merges its pages, and looks in the windows they form for jobs that are gone.
 *
 * Pages above covered ground are held back until the walk touches it and are then merged at once, so that a death in
 * between leaves no hole. Only a first pass, with no ground below, merges as it goes.
 */
export async function walkDown(pass: Pass, start: Page, options: WalkOptions): Promise<WalkEnd> {
  const { isFirstPass = false, isFull = false, until = () => false, onSwept } = options
  let page = start
  let held: readonly Page[] = [usable(pass, start)]
  let touched = isFirstPass || (await pass.touches(start))
  if (!touched && start.number === 1 && (await newPages(pass, start)) > MAX_HELD_PAGES) return 'gap'
  let isProven = start.fault === null
  let stretch = createStretch(start)

  async function decideWindow(isEnd: boolean): Promise<void> {
    const window = stretch.takeWindow()
    if (stretch.isSorted) await pass.sweep(window, window)
    // The bottom of an unsorted stretch says nothing; its end does.
    if (onSwept && isProven && (stretch.isSorted || isEnd)) await pass.writer.write([], () => onSwept(window.after))
  }

  for (;;) {
    const isEnd = isLast(page) && page.fault === null
    if (isEnd && !touched && pass.newestStored !== null && !pass.acceptsMassRemoval) return 'strange'
    touched ||= isEnd
    if (touched) {
      await pass.writer.write(held)
      held = []
    }
    // Where nothing is proved no position is kept, so nobody could go on from here.
    const mayEnd = isProven || !isFull
    const end: WalkEnd | null = isEnd ? 'end' : mayEnd && until(page, touched) ? 'until' : null
    if (touched && page.fault === null && (end !== null || stretch.answers >= pass.sizes.windowAnswers)) {
      await decideWindow(isEnd)
    }
    if (end !== null) return isProven ? end : 'broken'
    if (held.length > MAX_HELD_PAGES) return 'gap'

    const step = await readBelow(pass, page)
    pass.signal.throwIfAborted()
    for (const seen of step.seen) touched ||= await pass.touches(seen)
    if (step.isSound) {
      held = [...held, ...step.seen.map((seen) => usable(pass, seen))]
      stretch.add(step.seen, step.lower)
    } else {
      isProven = false
      // A faulty page that seems to be the last one may be empty by mistake, unless the one above is faulty too.
      const isOver = isLast(step.lower) && (step.lower.fault === null || page.fault !== null)
      if (!isFull || !touched || isOver) return 'broken'
      held = step.seen.map((seen) => pass.withoutNewcomers(seen))
      stretch = createStretch(step.lower)
    }
    page = step.lower
  }
}

/** How many pages are new at the head at least, if nothing but new jobs came since. */
async function newPages(pass: Pass, { total }: Page): Promise<number> {
  return (total - (await countLiveJobs(pass.db, pass.run.account))) / pass.limit
}

/** What may be merged of an answer. */
function usable(pass: Pass, page: Page): Page {
  return page.fault === null ? page : pass.withoutNewcomers(page)
}
