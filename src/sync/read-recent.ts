import { hasMoreLiveJobs } from '../db/batch-jobs-read.js'
import { searchSurplus } from './find-removed.js'
import { reachHead } from './head.js'
import { type Micros, toMicros, toTimestamp } from './instant.js'
import { noteOpenJobs, openAllowance, readOpenJobs } from './open-jobs.js'
import type { Page } from './page.js'
import type { Pass } from './pass.js'
import { readEverything } from './read-all.js'
import { type SyncResult, settle, surplusOf, withoutCounts } from './verdict.js'
import { askAbove, walkDown } from './walk.js'

/**
 * One incremental run: the open jobs, a slice of the sweep when it is due, then the head, on which the verdict is
 * taken. With nothing open, no slice due and equal counts, that is one request. A list of at most `smallPages` pages is read whole. Where the counts differ it searches for
 * the difference, and at last reads the whole list, once for the same difference.
 */
export async function readRecent(pass: Pass): Promise<SyncResult> {
  const { smallPages } = pass.sizes
  if (!(await hasMoreLiveJobs(pass.db, pass.run.account, smallPages * pass.limit))) {
    const first = await pass.reader.ask(1)
    if (first.totalPages <= smallPages && first.fault === null) return readSmallList(pass, first)
  }
  await noteOpenJobs(pass)
  const spentBefore = pass.counters.pagesRead
  const left = (allowance: number) => allowance - (pass.counters.pagesRead - spentBefore)

  await readOpenJobs(pass, openAllowance(pass.pagesPerRun))
  const isSweeping = isSweepDue(pass.state.lastSweepAt, pass.now(), pass.timing.sweepEveryMs) && pass.mayGo()
  if (isSweeping) await sweepSlice(pass, left(pass.pagesPerRun))
  const result = await settleWithOpenJobs(pass, () => left(openAllowance(pass.pagesPerRun)))
  if (surplusOf(result) === 0) return result
  return findDifference(pass, result, isSweeping)
}

async function readSmallList(pass: Pass, first: Page): Promise<SyncResult> {
  const startedAt = pass.now()
  const reached = await reachHead(pass, first)
  if ('end' in reached) return withoutCounts(pass, reached.end)
  if (reached.page.totalPages <= 1) return settle(pass, reached.page, { hasReadAll: true })
  const overlapped = pass.list.mustOverlap
  const start = overlapped ? reached.page : reached.ground
  let end = await walkDown(pass, start, { isFull: true, readsOn: true, isStartMerged: true })
  // The first loss ever shows on pages that only adjoin; once they overlap, it is proved.
  if (end === 'end' && pass.list.mustOverlap !== overlapped)
    end = await walkDown(pass, await pass.reader.ask(1), { isFull: true, readsOn: true })
  if (end !== 'end') return withoutCounts(pass, end === 'foreign' ? 'foreign' : 'broken')
  await pass.writer.save({ rereadSince: startedAt })
  return settleOnHead(pass, { hasReadAll: true })
}

/** Reads the head, and takes the verdict on it. */
async function settleOnHead(pass: Pass, options = { hasReadAll: false }): Promise<SyncResult> {
  const reached = await reachHead(pass, null)
  return 'end' in reached ? withoutCounts(pass, reached.end) : settle(pass, reached.page, options)
}

/** Takes the verdict. New jobs may have pushed open ones off the head meanwhile: these are read too, and then the head again. */
async function settleWithOpenJobs(pass: Pass, left: () => number): Promise<SyncResult> {
  const result = await settleOnHead(pass)
  if (result.listedTotal === null || pass.list.unreadOpenJobs.size === 0) return result
  const pagesBefore = pass.counters.pagesRead
  await readOpenJobs(pass, left())
  return pass.counters.pagesRead === pagesBefore ? result : settleOnHead(pass)
}

async function findDifference(pass: Pass, verdict: SyncResult, hasSwept: boolean): Promise<SyncResult> {
  const difference = surplusOf(verdict)
  if (difference < 0 && !hasSwept && pass.mayGo()) await sweepSlice(pass, pass.pagesPerRun)
  const { head } = pass.reader
  const result = difference > 0 && head !== null ? await searchSurplus(pass, head, verdict) : await settleOnHead(pass)
  if (surplusOf(result) === 0) return result
  if (difference === pass.state.triedDifference) return result

  pass.log.info({ difference }, 'stored and listed jobs differ: reading the whole list')
  return readEverything(pass, await pass.reader.ask(1))
}

/**
 * Reads a slice of the list from where the last one ended, and wraps round at the end. It finds jobs that were re-opened
 * after they had ended. A slice never ends inside a tie that it has begun, because the next one could not resume there.
 *
 * @param allowance pages; fewer are read when the request budget is spent.
 */
async function sweepSlice(pass: Pass, allowance: number): Promise<void> {
  const { sweepCreatedAt, sweepStartedAt } = pass.state
  const from = sweepCreatedAt === null ? null : toMicros(sweepCreatedAt)
  const startedAt = from === null || sweepStartedAt === null ? pass.now() : sweepStartedAt
  const spentBefore = pass.counters.pagesRead
  const start = from === null ? await pass.reader.ask(1) : await askAbove(pass, from)

  const isSpent = () => pass.counters.pagesRead - spentBefore >= allowance || !pass.mayGo()
  const hasAdvanced = (oldest: Micros | null) => oldest !== null && (from === null || oldest < from)
  await walkDown(pass, start, {
    until: ({ oldest }) => isSpent() && hasAdvanced(oldest),
    onWindow: async (bottom, isProven) => (isProven ? save(bottom) : undefined),
  })
  await pass.writer.drain()

  function save(bottom: Micros | null): Promise<void> {
    const lastSweepAt = pass.now()
    if (bottom !== null)
      return pass.writer.save({ sweepCreatedAt: toTimestamp(bottom), sweepStartedAt: startedAt, lastSweepAt })
    return pass.writer.save({ sweepCreatedAt: null, sweepStartedAt: null, rereadSince: startedAt, lastSweepAt })
  }
}

/** Whether this is the first incremental run of a period of `everyMs`, an hour by default; periods count from 1970. */
export function isSweepDue(lastSweepAt: Date | null, now: Date, everyMs: number): boolean {
  const periodOf = (instant: Date) => Math.floor(instant.getTime() / everyMs)
  return lastSweepAt === null || periodOf(lastSweepAt) !== periodOf(now)
}
