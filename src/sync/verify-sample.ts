import { PAGE_LIMIT } from '../config/scale.js'
import { compareJobs, type FieldDifference } from '../db/batch-jobs.js'
import { rankOf } from '../db/batch-jobs-read.js'
import { type Database, readDatabaseTime } from '../db/client.js'
import { openSyncState } from '../db/sync-state.js'
import type { SpidraClient } from '../spidra/client.js'
import { faultOf } from './page.js'

export interface VerifyOptions {
  readonly db: Database
  readonly client: SpidraClient
  readonly account: string
  /** Random pages; as many again are read at the sweep position. */
  readonly sample: number
  readonly signal: AbortSignal
  /** From 0 to less than 1. */
  readonly random: () => number
}

export interface VerifyReport {
  readonly pages: number
  /** Jobs compared. */
  readonly jobs: number
  /** Jobs that differ because they are open, or new or finished since the last complete run. */
  readonly moved: number
  readonly differences: readonly FieldDifference[]
}

/**
 * Reads pages again, random ones and those where the sweep goes on, and compares their jobs with the table field by
 * field. Merges nothing. A run that begins meanwhile stores newer answers: of jobs that changed, which count as moved.
 *
 * @throws SpidraError when a page could not be had.
 */
export async function verifySample(options: VerifyOptions): Promise<VerifyReport> {
  const { db, client, account, signal } = options
  const ask = (page: number) =>
    client.listPage({
      page,
      limit: PAGE_LIMIT,
      signal,
      faultOf: (answer) => faultOf(answer, { page, limit: PAGE_LIMIT }),
    })

  const since = await readDatabaseTime(db)
  const head = await ask(1)
  const pages = await choosePages(options, head.pagination.totalPages)
  const differences: FieldDifference[] = []
  let jobs = 0
  for (const page of pages) {
    const answer = page === 1 ? head : await ask(page)
    jobs += answer.jobs.length
    differences.push(...(await compareJobs(db, account, answer.jobs, since)))
  }
  const moved = differences.filter((difference) => difference.mayHaveMoved)
  return {
    pages: pages.length,
    jobs,
    moved: new Set(moved.map(({ uuid }) => uuid)).size,
    differences: differences.filter((difference) => !difference.mayHaveMoved),
  }
}

/** The head, random pages, and pages from the sweep position on: there the table is oldest. */
async function choosePages(
  { db, account, sample, random }: VerifyOptions,
  totalPages: number,
): Promise<readonly number[]> {
  const pages = new Set([1])
  const wanted = Math.min(sample + 1, Math.max(1, totalPages))
  while (pages.size < wanted) pages.add(1 + Math.floor(random() * totalPages))
  const { sweepCreatedAt } = await openSyncState(db, account)
  const first = sweepCreatedAt === null ? 1 : Math.floor((await rankOf(db, account, sweepCreatedAt)) / PAGE_LIMIT) + 1
  for (let page = first; page < first + sample && page <= totalPages; page += 1) pages.add(page)
  return [...pages].sort((one, other) => one - other)
}
