import { listOpenUuids, type RankedJob, rankJobs } from '../db/batch-jobs-read.js'
import { type Head, reachHead } from './head.js'
import { toMicros } from './instant.js'
import type { Page } from './page.js'
import type { Pass } from './pass.js'
import { countListable } from './verdict.js'
import { walkDown } from './walk.js'

/** Share of an incremental run's pages that open jobs may take; the rest is for the sweep. */
const OPEN_SHARE = 3 / 4

/** Share of the head page whose open jobs are left to the head. New jobs may push those below it off the page meanwhile. */
const HEAD_MARGIN = 0.8

/**
 * Reads the open jobs that no page of this run has listed yet, each on the page that its rank in the table gives. It skips
 * the head, with which every run ends. If the allowance is too small for all of them, the next run goes on where this one
 * ended, so that the longest unread jobs come first.
 *
 * @param allowance pages.
 * @param mayGo whether another page may be asked for.
 */
export async function readOpenJobs(pass: Pass, allowance: number, mayGo = pass.mayGo): Promise<void> {
  const { limit, list } = pass
  const unread = [...list.unreadOpenJobs]
  // Ranks are counted over the whole account, so they are read only when a job is wanted.
  const open = unread.length === 0 ? [] : await rankJobs(pass.db, pass.run.account, unread)
  const wanted = open.filter((job) => job.rank >= limit * HEAD_MARGIN)
  const isWithin = list.openCreatedAt === null && wanted.length <= allowance
  const due = isWithin ? roomiestFirst(wanted, limit) : inTurn(wanted, list.openCreatedAt)
  // Jobs that came since the table was last complete have pushed every job down by their number. In an unfinished first pass the
  // difference is mostly the unread part of the list, which lies below all of them.
  const stored = due.length === 0 || list.coverage.kind !== 'whole' ? null : await countListable(pass)
  const spentBefore = pass.counters.pagesRead
  let last: RankedJob | null = null
  for (const job of due) {
    if (!list.unreadOpenJobs.has(job.uuid)) continue
    if (pass.counters.pagesRead - spentBefore >= allowance || !mayGo()) break
    const newcomers = stored === null ? 0 : Math.max(0, (pass.reader.latestTotal ?? stored) - stored)
    if (!(await readAround(pass, job, job.rank + newcomers))) break
    last = job
  }
  const isAllRead = due.every((job) => !list.unreadOpenJobs.has(job.uuid))
  const openCreatedAt = isAllRead ? null : (last?.createdAt ?? list.openCreatedAt)
  if (openCreatedAt === list.openCreatedAt) return
  list.openCreatedAt = openCreatedAt
  await pass.writer.save({ openCreatedAt })
}

/**
 * Reads page 1 in the middle of a long pass, then the open jobs, because a verdict covers them too, and page 1 once more if
 * they took a request.
 *
 * @param first an answer for page 1 to begin with, so that it need not be asked again.
 */
export async function refreshHead(pass: Pass, first: Page | null): Promise<Head> {
  const reached = await reachHead(pass, first)
  if ('end' in reached) return reached
  const { pagesRead } = pass.counters
  await rereadOpenJobs(pass, reached.page, openAllowance(pass.pagesPerRun))
  const hasRead = pass.counters.pagesRead > pagesRead
  return hasRead && pass.list.coverage.kind === 'whole' ? reachHead(pass, null) : reached
}

/**
 * Reads the open jobs again in the middle of a long pass, also those that this pass has already read.
 *
 * @param head the latest answer for page 1, which need not be read again.
 */
async function rereadOpenJobs(pass: Pass, head: Page, allowance: number): Promise<void> {
  const unread = new Set(pass.list.unreadOpenJobs)
  await noteOpenJobs(pass)
  for (const uuid of head.uuids) pass.list.unreadOpenJobs.delete(uuid)
  // If the pass must yield, the remaining requests are for its own progress.
  await readOpenJobs(pass, allowance, () => pass.mayGo() && !pass.mustYield())
  // Those that the allowance did not reach were read by this pass all the same, only longer ago.
  for (const uuid of pass.list.unreadOpenJobs) if (!unread.has(uuid)) pass.list.unreadOpenJobs.delete(uuid)
}

/**
 * Notes which jobs are open, or have failures and were young when they were last read, before anything is read. So however
 * long nothing could be read, each job with failures is read once when it is no longer young.
 */
export async function noteOpenJobs({ db, run, list, state, timing, now }: Pass): Promise<void> {
  const notedAt = now()
  const lastReadAt = list.openNotedAt ?? state.lastCompleteAt ?? notedAt
  const youngSince = new Date(lastReadAt.getTime() - timing.youngMs)
  for (const uuid of await listOpenUuids(db, run.account, youngSince)) list.unreadOpenJobs.add(uuid)
  list.openNotedAt = notedAt
}

/**
 * Puts the job with the most room below it on its page first. It is the likeliest to be still on the page that its rank
 * gives, and that page shows how far new jobs have pushed all others down.
 */
function roomiestFirst(jobs: readonly RankedJob[], limit: number): readonly RankedJob[] {
  const rooms = jobs.map(({ rank }) => limit - (rank % limit))
  const roomiest = jobs[rooms.indexOf(Math.max(...rooms))]
  return roomiest === undefined ? jobs : [roomiest, ...jobs.filter((job) => job !== roomiest)]
}

/** Puts the jobs below the position first, then those above it. */
function inTurn(jobs: readonly RankedJob[], position: string | null): readonly RankedJob[] {
  if (position === null) return jobs
  const at = toMicros(position)
  const below = jobs.filter((job) => toMicros(job.createdAt) < at)
  return [...below, ...jobs.filter((job) => toMicros(job.createdAt) >= at)]
}

/**
 * Reads the page of a job, and its neighbours until one lists it or the list encloses its place without it: then a
 * window shows that it is gone. Returns false where the list moves too fast, or is not ours.
 */
async function readAround(pass: Pass, job: RankedJob, place: number): Promise<boolean> {
  const createdAt = toMicros(job.createdAt)
  const isAbove = (page: Page) => page.newest !== null && page.newest > createdAt

  let page = await pass.reader.ask(Math.floor(place / pass.limit) + 1)
  while (page.number > 1 && !page.uuids.has(job.uuid) && !isAbove(page)) page = await pass.reader.ask(page.number - 1)
  const end = await walkDown(pass, page, {
    until: ({ oldest }) => !pass.list.unreadOpenJobs.has(job.uuid) || (oldest !== null && oldest < createdAt),
  })
  pass.list.unreadOpenJobs.delete(job.uuid)
  return end === 'until' || end === 'end'
}

/** Pages that an incremental run may spend on open jobs. */
export function openAllowance(pagesPerRun: number): number {
  return Math.floor(pagesPerRun * OPEN_SHARE)
}
