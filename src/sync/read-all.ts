import { setTimeout as sleep } from 'node:timers/promises'
import { refreshDailyTotals } from '../db/housekeeping.js'
import { searchSurplus } from './find-removed.js'
import { type FullPosition, openFullPosition } from './full-position.js'
import { isOurList, reachHead } from './head.js'
import type { Micros } from './instant.js'
import { YieldError } from './interruptions.js'
import { refreshHead } from './open-jobs.js'
import type { Page } from './page.js'
import type { HeadRead, Pass, WindowRest } from './pass.js'
import { judge, type SyncResult, settle, surplusOf, withoutCounts } from './verdict.js'
import { askAbove, type WalkEnd, walkDown } from './walk.js'

/** Requests that reading the head again costs at least: page 1, the page to go on from, and the one below it. */
export const LEAST_REFRESH_REQUESTS = 3

/** What a search for one removed job adds to its bisection: the last page, the two pages around the gap, and page 1 once more. */
const SEARCH_REQUESTS = 4

/** Share of our requests of a window that may be saved for the heads that are due in it. */
const MOST_SAVED = 3 / 4

/** `dueInMs`: until the next re-read of page 1 is due; `everyMs`: between two; `requests`: what each costs. */
interface DueRefresh {
  readonly dueInMs: number
  readonly everyMs: number
  readonly requests: number
}

/**
 * Reads every page, to the end of the list, and takes the verdict; a pass that was cut off goes on from where it was.
 *
 * After every wait for the request budget, and at least every `refreshMs`, it reads the head and the open jobs again, so
 * that they stay fresh however long the whole takes. Once the first pass is complete, it takes a verdict each time it reads the head.
 *
 * Where two pages do not join, it tries once more from its position. If it comes no further, it reads on without proof, so that
 * what lies below is stored, and ends without a verdict.
 *
 * @param first an answer for page 1.
 * @throws YieldError when `mustYield` asks the pass to stop, so that another worker continues it.
 */
export async function readEverything(pass: Pass, first: Page): Promise<SyncResult> {
  const refresh: HeadRead = { requests: requestsOfHead(pass, first), at: performance.now() }
  const position = openFullPosition(pass)
  const isRereading = pass.list.coverage.kind === 'whole'
  const hasReadAll = position.at === null
  let head = first
  /** The position from which a slice broke; undefined: none has. */
  let brokenAt: Micros | null | undefined
  for (;;) {
    // Where a list loses jobs and its pages cannot overlap, a second try proves no more than the first.
    const isBeyondProof = pass.list.losesJobs && pass.list.doubts.has('no_overlap')
    const readsOn = isBeyondProof || (brokenAt !== undefined && !hasPassed(position.at, brokenAt))
    const end = await readSlice(pass, position, head, refresh, readsOn)
    await pass.writer.drain()
    // A first pass may wait for its budget for hours. Until then its days would be aggregated by every query.
    await refreshDailyTotals(pass.db, pass.run.account).catch((err: unknown) =>
      pass.log.warn({ err }, 'daily sums could not be kept'),
    )
    if (end === 'end')
      return position.isBroken ? withoutCounts(pass, 'broken') : closePass(pass, position, { head, hasReadAll })
    if (end === 'broken' && !readsOn) {
      brokenAt = position.at
      if (!position.isBroken) pass.reader.forgetFaults()
    } else if (end !== 'until') return withoutCounts(pass, end)
    if (pass.mustYield()) throw new YieldError()
    if (isRereading) await leaveRestOfWindow(pass, refresh)
    refresh.at = performance.now()
    head = await pass.reader.ask(1)
  }
}

/**
 * How many requests the next read of the head takes at least. In a list that loses jobs it has to search for one, also if the last
 * read found none gone: where the search runs out of budget, the verdict waits for the next window.
 */
function requestsOfHead({ list }: Pass, { totalPages }: Page): number {
  const search = SEARCH_REQUESTS + Math.ceil(Math.log2(Math.max(1, totalPages)))
  return LEAST_REFRESH_REQUESTS + (list.losesJobs ? search : 0)
}

/** Takes the verdict on a list that was read to its end. */
async function closePass(
  pass: Pass,
  position: FullPosition,
  { head, hasReadAll }: { readonly head: Page; readonly hasReadAll: boolean },
): Promise<SyncResult> {
  // The pages of two lists that are answered in turn may look like one list by chance. Two answers in a row do not.
  const isFirstPass = pass.list.firstPass !== null && !pass.state.isWhole
  if (isFirstPass && head.totalPages > 1 && !pass.list.doubts.has('unsorted')) await pass.reader.ask(1)
  const reached = await reachHead(pass, null)
  if ('end' in reached) return withoutCounts(pass, reached.end)
  if (pass.list.isUnproven) return withoutCounts(pass, 'loss')
  await position.finish(reached.page)
  const result = await settle(pass, reached.page, { hasReadAll })
  return surplusOf(result) === pass.state.triedDifference ? result : searchSurplus(pass, reached.page, result)
}

/** Whether a position lies below another one. Null: nothing is read yet. */
function hasPassed(at: Micros | null, other: Micros | null): boolean {
  return at !== null && (other === null || at < other)
}

/** Goes on from the position until the list ends, or the head is due again. */
async function readSlice(
  pass: Pass,
  position: FullPosition,
  head: Page,
  refresh: HeadRead,
  readsOn: boolean,
): Promise<WalkEnd> {
  const pagesBefore = pass.counters.pagesRead
  const waitedBefore = pass.counters.waitedMs
  let start = head
  let isStartMerged = false
  if (pass.list.coverage.kind === 'none') {
    // The stored jobs are not covered ground, but they identify the account's list.
    if (!pass.acceptRemovals && !(await isOurList(pass, head))) return 'foreign'
    await position.begin(head)
    await pass.list.noteHead(head)
  } else {
    await position.begin(head)
    const reached = position.at === null ? await reachHead(pass, head) : await refreshHead(pass, head)
    if ('end' in reached) {
      if (reached.end !== 'foreign' || !pass.acceptRemovals) return reached.end
      pass.log.warn('the list holds no stored job: reading it like the first time')
      await position.restart()
      return readSlice(pass, position, head, refresh, readsOn)
    }
    if (pass.list.isUnproven) return 'loss'
    if (pass.list.coverage.kind === 'whole') {
      const verdict = await judge(pass, reached.page)
      const limits = { allowance: pass.pagesPerRun, mayGo: pass.mayGo }
      const { status } = await searchSurplus(pass, reached.page, verdict, limits)
      const requests = pass.counters.pagesRead - pagesBefore + 1
      if (status === 'complete' && position.at !== null) await pass.onVerdict({ at: refresh.at, requests })
    }
    // The walk skips what the climb has merged, unless a window must enclose it.
    start = pass.list.losesJobs ? reached.page : reached.ground
    isStartMerged = true
    if (position.at !== null) {
      start = await askAbove(pass, position.at)
      isStartMerged = false
    }
    refresh.requests = Math.max(requestsOfHead(pass, reached.page), pass.counters.pagesRead - pagesBefore + 1)
  }
  return walkDown(pass, start, {
    isFull: true,
    readsOn,
    isStartMerged,
    until: sliceEnd(pass, position.at ?? start.newest, refresh, waitedBefore),
    onWindow: position.move,
  })
}

/**
 * Ends a slice when the head is due, or the pass must yield. It never ends one while all jobs read so far share the `createdAt` of
 * the slice's start: no position lies between them, and the next slice would read the same jobs again. An unsorted list has no
 * positions, so a slice of it never ends early either.
 *
 * A wait ends the slice of an account that is whole after one page, because its verdict has aged meanwhile. A first pass
 * has no verdict to keep fresh, and reads at least `minSlicePages`.
 *
 * @param waitedBefore what the run had waited when the slice began, its head included, in milliseconds.
 */
function sliceEnd(pass: Pass, from: Micros | null, refresh: HeadRead, waitedBefore: number): (page: Page) => boolean {
  const { counters, timing, sizes, list, mustYield } = pass
  const { pagesRead } = counters
  return ({ oldest }) => {
    if (list.doubts.has('unsorted')) return false
    if (from !== null && (oldest === null || oldest >= from)) return false
    if (mustYield()) return true
    const hasWaited = counters.waitedMs - waitedBefore >= timing.longWaitMs
    if (list.coverage.kind === 'whole' && (hasWaited || !mayReadOn(pass.windowRest(), toDue(pass, refresh))))
      return true
    if (counters.pagesRead - pagesRead < sizes.minSlicePages) return false
    return hasWaited || performance.now() - refresh.at >= timing.refreshMs
  }
}

/** Waits until the head is due again, or a new window begins, where the rest of the window is kept for such heads. */
async function leaveRestOfWindow(pass: Pass, refresh: HeadRead): Promise<void> {
  const { counters, log, signal } = pass
  const rest = pass.windowRest()
  const due = toDue(pass, refresh)
  if (rest === null || mayReadOn(rest, due)) return
  const waitMs = Math.min(due.dueInMs, rest.endsInMs)
  counters.waitedMs += waitMs
  log.info(
    { waitMs, resumeAt: new Date(Date.now() + waitMs) },
    'waiting: the rest of the request budget is kept for the head',
  )
  await sleep(waitMs, undefined, { signal })
}

export function toDue({ timing }: Pick<Pass, 'timing'>, { at, requests }: HeadRead): DueRefresh {
  const everyMs = timing.refreshMs
  return { dueInMs: Math.max(0, at + everyMs - performance.now()), everyMs, requests }
}

/**
 * Decides whether a full pass over stored jobs may read on, or saves the remaining requests for the re-reads of page 1 that are
 * due in this window. Freshness must not wait for the next window. Not all of a window is saved, so that each window brings the
 * pass further.
 */
export function mayReadOn(rest: WindowRest | null, refresh: DueRefresh): boolean {
  return rest === null || rest.requests > Math.min(requestsDue(rest, refresh), rest.share * MOST_SAVED)
}

/** How many requests the re-reads of page 1 take that are due before the window ends. */
export function requestsDue({ endsInMs }: WindowRest, { dueInMs, everyMs, requests }: DueRefresh): number {
  return dueInMs >= endsInMs ? 0 : (1 + Math.floor((endsInMs - dueInMs) / everyMs)) * requests
}
