import { hasMoreLiveJobs } from '../db/batch-jobs-read.js'
import { type SyncResult, settle, withoutCounts } from './balance.js'
import { findRemoved } from './find-removed.js'
import { isOurList } from './head.js'
import { noteOpenJobs, readOpenJobs } from './open-jobs.js'
import type { Page } from './page.js'
import type { Pass } from './pass.js'
import { isSweepDue, openAllowance } from './plan.js'
import { readWholeList } from './read-all.js'
import { sweepSlice } from './sweep.js'
import { walkDown } from './walk.js'

/**
 * One incremental run: the open jobs, a slice of the sweep when it is due, then the head, on which the verdict is
 * taken. With nothing open, no slice due and equal counts, that is one request. Where the counts differ it looks for
 * the difference, and at last reads the whole list, once for the same difference.
 */
export async function readRecent(pass: Pass): Promise<SyncResult> {
  const { smallPages } = pass.sizes
  if (!(await hasMoreLiveJobs(pass.db, pass.run.account, smallPages * pass.limit))) {
    const first = await pass.ask(1)
    if (first.totalPages <= smallPages && first.fault === null) return readSmallList(pass, first)
  }
  await noteOpenJobs(pass)
  const spentBefore = pass.counters.pagesRead
  const left = (allowance: number) => allowance - (pass.counters.pagesRead - spentBefore)

  await readOpenJobs(pass, openAllowance(pass.pagesPerRun))
  const isSweeping = isSweepDue(pass.state.lastSweepAt, pass.now(), pass.timing.sweepEveryMs) && pass.mayGo()
  if (isSweeping) await sweepSlice(pass, left(pass.pagesPerRun))
  const result = await settleWithOpenJobs(pass, () => left(openAllowance(pass.pagesPerRun)))
  if (result.reason === 'first_pass_unfinished') return readLongGap(pass)
  if (result.listedTotal === null || result.listedTotal === result.storedTotal) return result
  return findDifference(pass, result, isSweeping)
}

async function readSmallList(pass: Pass, first: Page): Promise<SyncResult> {
  if (first.totalPages <= 1) return settle(pass, { only: first, hasReadAll: true })
  const startedAt = pass.now()
  const end = await walkDown(pass, first, { isFull: true })
  if (end !== 'end') return withoutCounts(pass, end === 'strange' ? 'strange' : 'broken')
  await pass.save({ rereadSince: startedAt })
  return settle(pass, { hasReadAll: true })
}

/** While we read, new jobs may have pushed open ones off the head; they are read too, and then the head again. */
async function settleWithOpenJobs(pass: Pass, left: () => number): Promise<SyncResult> {
  const result = await settle(pass, { hasReadAll: false })
  if (result.listedTotal === null || pass.wanted.size === 0) return result
  const pagesBefore = pass.counters.pagesRead
  await readOpenJobs(pass, left())
  return pass.counters.pagesRead === pagesBefore ? result : settle(pass, { hasReadAll: false })
}

/** More is new at the head than may be held back: such a list is read like the first time. */
async function readLongGap(pass: Pass): Promise<SyncResult> {
  const head = await pass.ask(1)
  if (!(await isOurList(pass, head))) return withoutCounts(pass, 'strange')
  return readEverything(pass, head)
}

async function readEverything(pass: Pass, head: Page): Promise<SyncResult> {
  const end = await readWholeList(pass, head)
  return end === 'end' ? settle(pass, { hasReadAll: true }) : withoutCounts(pass, end)
}

async function findDifference(
  pass: Pass,
  { listedTotal, storedTotal }: SyncResult,
  hasSwept: boolean,
): Promise<SyncResult> {
  const difference = (storedTotal ?? 0) - (listedTotal ?? 0)
  if (difference > 0 && pass.head !== null) await findRemoved(pass, pass.head)
  else if (!hasSwept && pass.mayGo()) await sweepSlice(pass, pass.pagesPerRun)
  const result = await settle(pass, { hasReadAll: false })
  const isSettled = result.listedTotal === null || result.listedTotal === result.storedTotal
  if (isSettled || difference === pass.state.triedDifference) return result

  pass.log.info({ difference }, 'stored and listed jobs differ: reading the whole list')
  return readEverything(pass, await pass.ask(1))
}
