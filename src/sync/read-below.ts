import { isLast, overlaps, type Page, type PageAsked } from './page.js'
import type { Pass } from './pass.js'
import { deepestPage, isSoundSeam, pageAt } from './seam.js'

/** How far above the expected place each try begins, in pages; at least one job. A list that moves faster is not read. */
const BACK_OFF = [0, 1 / 16, 1 / 4, 1 / 2, 1, 2]

/** What was read to go on below a page. */
export interface Step {
  /** The page to go on from; it need not lie below where it is not proved. */
  readonly lower: Page
  /** Whether it is proved that it joins the page above. */
  readonly isSound: boolean
}

/**
 * Reads the page below `page` so that nothing between the two can be missing.
 *
 * In a list that loses nothing that is the page that adjoins. Else, and where that one does not join, it is a page that
 * begins a little above the end of `page`, each time further up. The total shows what came or went meanwhile: a job that
 * came pushed the place down by one, and one that went pulled it up by one, or not, if it stood below.
 */
export async function readBelow(pass: Pass, page: Page): Promise<Step> {
  const backs = BACK_OFF.map((pages, index) => index + Math.max(1, Math.ceil(pages * pass.limit)))
  let furthest: Page | null = null
  for (const [tries, back] of (pass.mustOverlap ? backs : [0, ...backs]).entries()) {
    const moved = (pass.latestTotal ?? page.total) - page.total
    const asked = below(pass, page.end + moved - back, back > 0)
    const lower = await pass.ask(asked.number, asked.limit)
    if (furthest === null || lower.end > furthest.end) furthest = lower
    if (isSoundSeam(page, lower, pass.mustOverlap) && reachesBelow(lower, page)) {
      await pass.checkOrder(page, lower)
      return { lower, isSound: true }
    }
    // The client has asked for a faulty answer often enough.
    if (page.fault !== null || lower.fault !== null) break
    if (tries === 0) pass.counters.seamsRepaired += 1
  }
  // The next pages are read all the same, from the lowest answer on.
  return { lower: furthest ?? page, isSound: false }
}

/** Whether the page, which joins the one above, shows more than that, or that there is no more. */
function reachesBelow(lower: Page, upper: Page): boolean {
  const last = lower.jobs.at(-1)
  if (isLast(lower)) return true
  return last !== undefined && overlaps(lower, upper) ? !upper.uuids.has(last.uuid) : lower.end > upper.end
}

function below(pass: Pass, place: number, isOverlapping: boolean): PageAsked {
  if (!isOverlapping || pass.doubts.has('no_overlap')) return pageAt(place, pass.limit)
  const asked = deepestPage(place, pass.limit)
  if (asked !== null) return asked
  pass.doubt('no_overlap')
  return pageAt(place + 1, pass.limit)
}
