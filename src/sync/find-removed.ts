import { rankOf } from '../db/batch-jobs-read.js'
import { countOpenRejections } from '../db/rejected-jobs.js'
import { reachHead } from './head.js'
import { type Micros, toTimestamp } from './instant.js'
import { refreshHead } from './open-jobs.js'
import type { Page } from './page.js'
import type { Pass } from './pass.js'
import { countListable, judge, type SyncResult, settle, surplusOf, withoutCounts } from './verdict.js'
import { walkDown } from './walk.js'

/** Searches for removed jobs in a row, as long as each finds some: while one job is searched for, the next one may go. */
const MAX_SEARCHES = 4

/** Bisections in a row that find nothing before the search ends. */
const MAX_FAILURES = 4

/** The search for gaps may cost this share of reading the whole list, which finds all of them. */
const WORTH_OF_WHOLE = 1 / 4

/** How far a search for removed jobs may go. */
interface SearchLimits {
  /** Pages. Default: as long as the search is worth it. */
  readonly allowance?: number
  /** Whether another search may begin. Default: always; it waits for the request budget. */
  readonly mayGo?: () => boolean
}

/**
 * Where a verdict shows more stored than listed, searches for removed jobs, and for those that went during the search. Takes the
 * verdict again after each search.
 *
 * @param head the answer for page 1 on which the verdict was taken.
 */
export async function searchSurplus(
  pass: Pass,
  head: Page,
  verdict: SyncResult,
  { allowance, mayGo = () => true }: SearchLimits = {},
): Promise<SyncResult> {
  let latest = head
  let result = verdict
  for (let round = 1; round <= MAX_SEARCHES && surplusOf(result) > 0 && mayGo(); round += 1) {
    const removedBefore = pass.counters.removed
    await findRemoved(pass, latest, allowance)
    const reached = await reachHead(pass, null)
    if ('end' in reached) return withoutCounts(pass, reached.end)
    latest = reached.page
    result = await settle(pass, latest, { hasReadAll: false })
    if (pass.counters.removed === removedBefore) break
  }
  return result
}

/**
 * Searches for jobs that are stored and no longer listed, with few requests. Retention removes jobs at the end, so it
 * reads the last page first. Then it bisects: above any job on page p the list holds (p - 1) * limit jobs and those above
 * it on the page, and the table holds more by the number of jobs that are gone there. So it finds the page where the
 * surplus begins, reads it, and goes on with the next gap, as long as that is cheaper than reading the whole list. It
 * waits for the request budget, because reading the whole list would wait longer.
 *
 * Many gaps take hours under the API's limit. So it reads the head and the open jobs again at least every `refreshMs`, between
 * two gaps: new jobs do not wait for its end, and what was found is marked as removed, also if the run is cut off.
 *
 * @param allowance pages; default a quarter of the list, and at least as many as an incremental run may spend.
 */
async function findRemoved(
  pass: Pass,
  head: Page,
  allowance = Math.max(pass.pagesPerRun, head.totalPages * WORTH_OF_WHOLE),
): Promise<void> {
  const spentBefore = pass.counters.pagesRead
  const isSpent = () => pass.counters.pagesRead - spentBefore >= allowance

  await walkDown(pass, await pass.reader.ask(head.totalPages))
  // The table does not know the places of rejected items, so the surplus above a page is unknown.
  if ((await countOpenRejections(pass.db, pass.run.account)) > 0) return
  let { totalPages } = head
  let headAt = performance.now()
  // Against the head that was merged: jobs that came since stand in later totals, and not in the table.
  const listed = () => pass.list.groundTotal ?? head.total
  let failures = 0
  /** No job is known to be gone above this page. */
  let top = 1
  let counted: Counted | null = null
  // The table is counted once a head, because a million rows take long. Meanwhile only missing jobs change what should be listed.
  const countStored = async () => (await countListable(pass)) + pass.list.missing.size
  let stored = await countStored()
  while (!isSpent()) {
    const surplus = stored - pass.list.missing.size - listed()
    if (surplus <= 0) return
    const before = pass.list.missing.size
    const overlapped = pass.list.mustOverlap
    const gap: Gap | null = await findGap(pass, { top, end: totalPages + 1, surplus, listed: listed(), counted })
    if (gap !== null) await readFrom(pass, gap.page)
    // The first loss ever shows on pages that only adjoin; once they overlap, it is proved.
    const hasFound = pass.list.missing.size > before || pass.list.mustOverlap !== overlapped
    failures = hasFound ? 0 : failures + 1
    if (failures === MAX_FAILURES) return
    top = hasFound && gap !== null ? Math.max(1, gap.page - 2) : 1
    counted = gap?.counted ?? null
    // A job that left during the bisection led it to a wrong place. It counts rightly again from a new answer for page 1.
    if (hasFound && performance.now() - headAt < pass.timing.refreshMs) continue
    const reached = await refreshHead(pass, null)
    if ('end' in reached || (await judge(pass, reached.page)).listedTotal === null) return
    totalPages = reached.page.totalPages
    headAt = performance.now()
    counted = null
    stored = await countStored()
  }
}

/** A place in the table whose rank is known, so that ranks further down are counted from it. A million rows take long to count. */
interface Counted {
  readonly instant: Micros
  readonly rank: number
}

/** Where jobs are gone. */
interface Gap {
  /** The first page above which some are; the gap lies on it or on the page before. */
  readonly page: number
  /** A place above the gap; null: none was counted. */
  readonly counted: Counted | null
}

/**
 * Finds the first gap. Null where the list moves.
 *
 * It goes down by the mean distance of the gaps until one lies above, and bisects that step. Where one job is gone, that is a
 * bisection of the whole list.
 *
 * @param top page above which no job is gone; `end`: the page after the last; `surplus`: jobs that are gone; `listed`: total of the
 *   head that was merged; `counted`: a place near `top`.
 */
async function findGap(
  pass: Pass,
  from: { readonly [Name in 'top' | 'end' | 'surplus' | 'listed']: number } & Pick<Gap, 'counted'>,
): Promise<Gap | null> {
  const { top, end, surplus, listed } = from
  const step = Math.ceil((end - top) / surplus)
  let { counted } = from
  let sound = top
  let below = end
  while (below - sound > 1) {
    const middle = (sound + below) >> 1
    const number = below === end ? Math.min(sound + step, middle) : middle
    const page = await pass.reader.ask(number)
    const place = await countAt(pass, page, counted)
    if (place === null) return null
    // What came since the head was merged pushed the page down, and is not in the table.
    const newcomers = Math.max(0, page.total - listed)
    if (place.rank > place.listed - newcomers) {
      below = number
    } else {
      sound = number
      counted = place
    }
  }
  return { page: below, counted }
}

/**
 * Counts a place of the page in the table: its instant, its rank, and how many jobs the page says are listed above it. Null: the page
 * cannot tell.
 */
async function countAt(
  pass: Pass,
  page: Page,
  counted: Counted | null,
): Promise<(Counted & { readonly listed: number }) | null> {
  if (page.fault !== null || !page.isSorted || page.jobs.length === 0) return null
  const { instants } = page
  // Among jobs that tie, the table has no order. The first one that is strictly older than its neighbour can be counted.
  const index = instants.findIndex((instant, place) => place > 0 && instant < (instants[place - 1] ?? instant))
  const instant = instants[index]
  if (instant === undefined) return null
  const base = counted !== null && instant < counted.instant ? counted : null
  const upTo = base === null ? null : toTimestamp(base.instant)
  const gone = [...pass.list.missing]
  const rank = await rankOf(pass.db, pass.run.account, toTimestamp(instant), { gone, upTo })
  return { instant, rank: rank + (base?.rank ?? 0), listed: page.start + index }
}

/** Reads from the page before the surplus over it, so that a window encloses the gap. */
async function readFrom(pass: Pass, surplus: number): Promise<void> {
  const start = await pass.reader.ask(Math.max(1, surplus - 1))
  await walkDown(pass, start, { until: (page) => page.number >= surplus })
}
