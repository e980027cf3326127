import { countLiveJobs, hasFreshJobAbove, hasStored, readOldestCreatedAt } from '../db/batch-jobs-read.js'
import { type Micros, toMicros, toTimestamp } from './instant.js'
import { listsTheSame, type Page, type PageAsked } from './page.js'
import type { Pass } from './pass.js'
import { highestPage, isSoundSeam, pageAt } from './seam.js'
import type { WalkEnd } from './walk.js'

/** Answers in a row that bring the climb no higher: the list moves faster than it can be read. */
const MAX_TRIES = 6

/**
 * What `reachHead` reached, or why it reached nothing.
 *
 * - `page`: page 1, on which a verdict may be taken.
 * - `ground`: the page from which the climb to it began; the same as `page` if there was no climb. Everything from page 1 down
 *   to the end of `ground` is merged.
 */
export type Head =
  | { readonly page: Page; readonly ground: Page }
  | { readonly end: Extract<WalkEnd, 'broken' | 'foreign'> }

/**
 * Reads page 1 and merges it, so that every job that this answer lists above covered ground is stored. Where nothing is
 * covered, it reads page 1 only.
 *
 * Where page 1 is all new, the walk begins below the new jobs, at covered ground, and climbs: each page joins the one
 * below it and is merged at once. So what is stored never has a hole, whenever the worker dies, and however long the gap
 * is, nothing has to be held back or read twice.
 *
 * @param first an answer for page 1 to begin with, so that it need not be asked again.
 * @param tries how many answers for the only page of a list have been tried.
 */
export async function reachHead(pass: Pass, first: Page | null, tries = 1): Promise<Head> {
  const head = await askHead(pass, first)
  if (head === null) return { end: 'broken' }
  let page = head
  let ground: Page = head
  if (head.totalPages <= 1) {
    if (head.total > 0 && !pass.acceptRemovals && !(await isOurList(pass, head))) return { end: 'foreign' }
    // That check may have asked for page 1 again, and a verdict is taken on the latest answer.
    if (pass.reader.head !== null && pass.reader.head !== head)
      return tries === MAX_TRIES ? { end: 'broken' } : reachHead(pass, pass.reader.head, tries + 1)
  } else if (pass.list.coverage.kind !== 'none' && !(await pass.list.touches(head))) {
    const found = await findBelow(pass, head, (below) => pass.list.touches(below))
    if (typeof found === 'string') return { end: found }
    ground = found
    const top = await climb(pass, ground, head)
    if (top === null) return { end: 'broken' }
    page = top
  }
  await pass.writer.merge(page)
  await pass.writer.drain()
  await pass.list.noteHead(page)
  return { page, ground }
}

/**
 * Page 1, asked for again while the answer is older than what is stored: it does not list a newer job that was first seen
 * a moment ago. A replica that lags behind would give a verdict on the past. Null where it stays so, or is faulty.
 */
async function askHead(pass: Pass, first: Page | null): Promise<Page | null> {
  let head = first ?? (await pass.reader.ask(1))
  await pass.writer.drain()
  for (let tries = 1; head.fault === null; tries += 1) {
    if (!(await isOlderThanStored(pass, head))) return head
    if (tries === MAX_TRIES) return null
    head = await pass.reader.ask(1)
  }
  await pass.writer.merge(pass.list.withoutNewcomers(head))
  return null
}

async function isOlderThanStored(pass: Pass, { newest, uuids }: Page): Promise<boolean> {
  const { db, run, timing } = pass
  const { groundTop, doubts } = pass.list
  if (newest === null || groundTop === null || newest >= groundTop || doubts.has('unsorted')) return false
  // The list of another account is not an older version of this one.
  if (!(await hasStored(db, run.account, [...uuids], null))) return false
  return hasFreshJobAbove(db, run.account, toTimestamp(newest), timing.staleAnswerMs, [...uuids])
}

/**
 * Whether the list is that of the stored jobs: page 1, or the place where they must begin or end, lists one of them. With the
 * key of another account it does not.
 *
 * A first pass that has begun anew may have stored a few jobs with others between them, of which the newest has left the list.
 */
export async function isOurList(pass: Pass, head: Page): Promise<boolean> {
  if (pass.newestStored === null) return true
  const isKnown = (page: Page) => hasStored(pass.db, pass.run.account, [...page.uuids], null)
  if (await isKnown(head)) return true
  if ((await findBelow(pass, head, isKnown)) !== 'foreign') return true
  const oldest = await readOldestCreatedAt(pass.db, pass.run.account)
  return oldest !== null && (await findBelow(pass, head, isKnown, toMicros(oldest))) !== 'foreign'
}

/**
 * The page on which the ground begins below the new jobs; `foreign` where the list holds none of it, and `broken` where an
 * answer is faulty, or the list moves so much that the search may have missed the stored jobs.
 *
 * @param top the `createdAt` to look for. Default: that of the newest stored job.
 */
async function findBelow(
  pass: Pass,
  head: Page,
  isGround: (page: Page) => Promise<boolean>,
  top: Micros | null = pass.list.groundTop,
): Promise<Page | 'broken' | 'foreign'> {
  const seen = new Set(head.uuids)
  const isGroundOn = (page: Page) => {
    for (const uuid of page.uuids) seen.add(uuid)
    return isGround(page)
  }
  let latest = head
  for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
    const faultyBefore = pass.reader.faultyPages
    const { found, isSteady } = await search(pass, latest, isGroundOn, top)
    if (found !== null) return found
    if (pass.reader.faultyPages > faultyBefore) return 'broken'
    const again = await pass.reader.ask(1)
    if (await isGroundOn(again)) return again
    if (isSteady && listsTheSame(latest, again)) {
      return (await hasStored(pass.db, pass.run.account, [...seen], null)) ? 'broken' : 'foreign'
    }
    latest = again
  }
  return 'broken'
}

/**
 * Searches below `head` for the page that lists the stored job created at `top`, or would list it if it is gone: the first guess
 * comes from the totals, then the step doubles until a page lies below, then the interval is halved. An unsorted list is
 * searched page by page.
 *
 * @param isGround whether a page counts.
 * @returns the page, or null; and whether the list moved so little in between that none means none.
 */
async function search(
  pass: Pass,
  head: Page,
  isGround: (page: Page) => Promise<boolean>,
  top: Micros | null,
): Promise<{ readonly found: Page | null; readonly isSteady: boolean }> {
  const isSorted = !pass.list.doubts.has('unsorted')
  let found: Page | null = null
  // The ground begins below `from`, and above `to`.
  let from = head.end
  let to = head.total
  let isBounded = false
  // Jobs that tie with the one looked for may be the ground or stand on either side of it.
  let isTied = false
  let place = isSorted ? await guessNewcomers(pass, head) : from
  let step = 0
  let isSteady = true
  while (from < to) {
    const page = await pass.reader.ask(pageAt(Math.min(Math.max(place, from), to - 1), pass.limit).number)
    // An answer that lists fewer may be an older one, in which what stands on this page is missing.
    isSteady &&= page.total >= head.total && page.total < head.total + pass.limit
    if (page.fault !== null) return { found, isSteady }
    const isBelow = page.end === page.start || (page.newest !== null && top !== null && page.newest < top)
    const touches = await isGround(page)
    if (touches && !(isSorted && isBelow)) return { found: page, isSteady }
    if (touches) found = page
    isTied ||= !touches && top !== null && page.newest === top && page.oldest === top
    if (isSorted && isBelow) {
      to = Math.min(to - 1, page.start)
      isBounded = true
    } else if (!isTied || page.start <= from) {
      from = Math.max(from + 1, page.end)
    }
    place = !isSorted || isTied ? from : isBounded ? (from + to) >> 1 : from + step
    step = 2 * step + pass.limit
  }
  return { found, isSteady }
}

/** Estimates how many jobs came since the head was last read; too low for a list that loses jobs. */
async function guessNewcomers(pass: Pass, { total }: Page): Promise<number> {
  const known =
    pass.list.coverage.kind === 'whole' ? await countLiveJobs(pass.db, pass.run.account) : pass.list.groundTotal
  return known === null ? 0 : Math.max(0, total - known)
}

/**
 * Merges page by page from `ground` up to page 1, and returns that page unmerged; null where the list moves too fast.
 *
 * @param head an answer for page 1. If the list loses no jobs and its total is unchanged, this answer is still valid.
 */
async function climb(pass: Pass, ground: Page, head: Page): Promise<Page | null> {
  let low = ground
  let margin = 0
  let tries = 0
  // Counted from the end of the list, so that jobs that come at the head change nothing.
  let height = ground.total - ground.start
  while (low.number > 1) {
    await pass.writer.merge(low)
    const before = pass.reader.latestTotal ?? low.total
    const asked = await above(pass, low.start + Math.max(0, before - low.total), margin)
    const isHeadAgain = asked.number === head.number && asked.limit === head.limit
    const isSame = isHeadAgain && !pass.list.losesJobs && head.total === before && head.total === low.total
    const upper = isSame ? head : await pass.reader.ask(asked.number, asked.limit)
    if (upper.fault !== null) return null
    const isSound = isSoundSeam(upper, low, pass.list.mustOverlap)
    tries = isSound && upper.total - upper.start > height ? 0 : tries + 1
    if (tries > MAX_TRIES) return null
    // As much as came before this answer may come before the next one.
    margin = Math.min(pass.limit - 1, Math.max(0, upper.total - before))
    if (!isSound) continue
    low = upper
    height = Math.max(height, upper.total - upper.start)
  }
  return low
}

/**
 * The page to climb to from ground whose first job stands at `place`, where up to `margin` jobs may come meanwhile: fewer, where
 * a page that has room for all of them cannot begin above the ground.
 */
async function above(pass: Pass, place: number, margin: number): Promise<PageAsked> {
  if (pass.list.doubts.has('no_overlap')) return pageAt(margin === 0 ? place - 1 : place, pass.limit)
  if (!pass.list.mustOverlap && margin === 0) return pageAt(place - 1, pass.limit)
  for (let room = margin; room >= 0; room -= 1) {
    const asked = highestPage(place + room, pass.limit)
    if ((asked.number - 1) * asked.limit < place) return asked
  }
  if (pass.list.mustOverlap) await pass.list.doubtOverlap()
  return pageAt(place - 1, pass.limit)
}
