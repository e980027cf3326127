import { listOpenJobs, type OpenJob } from '../db/batch-jobs-read.js'
import { countListable } from './balance.js'
import { toMicros } from './instant.js'
import type { Page } from './page.js'
import type { Pass } from './pass.js'
import { walkDown } from './walk.js'

/** New jobs may push an open one off the head while we read; so near the head's end its own page is read too. */
const HEAD_MARGIN = 0.8

/**
 * Reads the open jobs again, those that no page of this run has listed yet, each on the page where the table says it
 * stands. The head is left out: every run ends with it. When there are more than the allowance lets read, the next run
 * goes on where this one ended, so that the longest unread come first.
 *
 * @param allowance pages.
 */
export async function readOpenJobs(pass: Pass, allowance: number): Promise<void> {
  const open = await listOpenJobs(pass.db, pass.run.account)
  const due = inTurn(
    open.filter((job) => pass.wanted.has(job.uuid) && job.rank >= pass.limit * HEAD_MARGIN),
    pass.state.openCreatedAt,
  )
  const stored = await countListable(pass)
  const spentBefore = pass.counters.pagesRead
  let last: OpenJob | null = null
  for (const job of due) {
    if (!pass.wanted.has(job.uuid)) continue
    if (pass.counters.pagesRead - spentBefore >= allowance || !pass.mayGo()) break
    // What came since the table was last complete has pushed every job down by as many places.
    const newcomers = Math.max(0, (pass.latestTotal ?? stored) - stored)
    if (!(await readAround(pass, job, job.rank + newcomers))) break
    last = job
  }
  const isAllRead = due.every((job) => !pass.wanted.has(job.uuid))
  const openCreatedAt = isAllRead ? null : (last?.createdAt ?? pass.state.openCreatedAt)
  if (openCreatedAt !== pass.state.openCreatedAt) await pass.save({ openCreatedAt })
}

/** Notes which jobs are open, before anything is read. */
export async function noteOpenJobs(pass: Pass): Promise<void> {
  for (const { uuid } of await listOpenJobs(pass.db, pass.run.account)) pass.wanted.add(uuid)
}

/** Those below the position first, then those above it. */
function inTurn(jobs: readonly OpenJob[], position: string | null): readonly OpenJob[] {
  if (position === null) return jobs
  const at = toMicros(position)
  const below = jobs.filter((job) => toMicros(job.createdAt) < at)
  return [...below, ...jobs.filter((job) => toMicros(job.createdAt) >= at)]
}

/**
 * Reads the page of a job, and its neighbours until one lists it or the list encloses its place without it: then a
 * window shows that it is gone. Returns false where the list moves too fast, or is not ours.
 */
async function readAround(pass: Pass, job: OpenJob, place: number): Promise<boolean> {
  const createdAt = toMicros(job.createdAt)
  const hasJob = () => !pass.wanted.has(job.uuid)
  const isAbove = (page: Page) => page.newest !== null && page.newest > createdAt

  let page = await pass.ask(Math.floor(place / pass.limit) + 1)
  while (page.number > 1 && !hasJob() && !isAbove(page)) page = await pass.ask(page.number - 1)
  const end = await walkDown(pass, page, {
    until: ({ oldest }) => hasJob() || (oldest !== null && oldest < createdAt),
  })
  pass.wanted.delete(job.uuid)
  return end === 'until' || end === 'end'
}
