import type { Logger } from 'pino'
import { mergeJobs } from '../db/batch-jobs.js'
import { listUnlisted } from '../db/batch-jobs-read.js'
import type { Database } from '../db/client.js'
import { fingerprintOf, keepRejectedJobs } from '../db/rejected-jobs.js'
import type { RunKey } from '../db/sync-runs.js'
import type { SpidraClient } from '../spidra/client.js'
import { type Rejection, toRejection } from '../spidra/wire.js'
import { type ChunkWriter, createChunkWriter } from './chunk-writer.js'
import type { Counters } from './counters.js'
import { type Coverage, touchesCovered } from './coverage.js'
import { type Micros, toMicros, toTimestamp } from './instant.js'
import { faultOf, listsTheSame, type Page, toPage } from './page.js'
import type { Window } from './window.js'

/** Tells a uuid from a fingerprint of 64 digits. */
const UUID_LENGTH = 36

export interface PassOptions {
  readonly db: Database
  readonly client: SpidraClient
  readonly run: RunKey
  /** Jobs a page; the API's most is 50. */
  readonly limit: number
  /** Requests in flight. */
  readonly concurrency: number
  readonly coverage: Coverage
  /** When the newest stored live job was created; null when none is stored. */
  readonly newestStored: Micros | null
  readonly counters: Counters
  readonly signal: AbortSignal
  readonly log: Logger
  readonly onPage: (page: Page) => void
}

/** The server gives fewer jobs a page than asked: the pass begins anew with its number. */
export class SmallerLimitError extends Error {
  override readonly name = 'SmallerLimitError'
  readonly limit: number
  constructor(limit: number) {
    super(`The API lists no more than ${limit} jobs a page`)
    this.limit = limit
  }
}

/** One reading of the list: what it asks, what it stores, and what it found no longer listed. */
export interface Pass extends Omit<PassOptions, 'onPage' | 'client'> {
  /** Changes as the first pass advances. */
  coverage: Coverage
  /** Stored jobs that a window enclosed without listing them; marked as removed when the run ends. */
  readonly missing: Set<string>
  /** Rejections met, as identity -> page -> copies. A page read again replaces what it said before. */
  readonly rejected: Map<string, Map<number, number>>
  readonly writer: ChunkWriter
  /** The latest answer for page 1. */
  head: Page | null
  /** Answers that stayed faulty. */
  faultyPages: number
  /** Blocks in a row that moved under the reading. */
  movedBlocks: number
  /** Whether total and head were the same in all answers so far. */
  isStill: boolean
  /** Whether a page was not sorted by `createdAt` descending. Then windows say nothing. */
  isUnsorted: boolean
  /** Asks for a page. Its jobs are listed, so none of them is missing. */
  ask(number: number): Promise<Page>
  /** Whether the page touches covered ground. */
  touches(page: Page): Promise<boolean>
  /**
   * The page without what may be new. Of an answer that proves nothing, only jobs older than the newest stored one may
   * be merged: a newer one could lie above a hole.
   */
  withoutNewcomers(page: Page): Page
  /** Collects the stored jobs inside the window that are not among `listed`. */
  sweep(window: Window, listed: Iterable<string>): Promise<void>
}

export function createPass(options: PassOptions): Pass {
  const { db, client, run, limit, signal, counters, log } = options
  const missing = new Set<string>()
  const rejected: Pass['rejected'] = new Map()

  async function ask(number: number): Promise<Page> {
    const answer = await client.listPage({
      page: number,
      limit,
      signal,
      faultOf: (candidate) => {
        const smaller = candidate.pagination.limit
        if (smaller < limit && faultOf(candidate, { page: number, limit: smaller }) === null) {
          throw new SmallerLimitError(smaller)
        }
        return faultOf(candidate, { page: number, limit })
      },
    })
    const page = toPage(number, answer)
    counters.pagesRead += 1
    counters.jobsRead += page.jobs.length
    for (const uuid of page.uuids) missing.delete(uuid)
    log.debug({ page: number, total: page.total, jobs: page.jobs.length }, 'page read')
    options.onPage(page)
    return page
  }

  /** Of a job that two pages list, the later answer counts, so pages go in by the time of their answer. */
  async function merge(pages: readonly Page[]): Promise<void> {
    const inOrder = [...pages].sort((one, other) => one.answeredAt - other.answeredAt)
    const outcome = await mergeJobs(
      db,
      run,
      inOrder.flatMap((page) => page.jobs),
    )
    counters.inserted += outcome.inserted
    counters.updated += outcome.updated
    counters.unchanged += outcome.unchanged
    counters.restored += outcome.restored
    const refused = new Map(outcome.refused.map(({ row, reason }) => [row.uuid, toRejection(row.item, reason)]))
    await keepRejections(pages, refused)
  }

  async function keepRejections(pages: readonly Page[], refused: ReadonlyMap<string, Rejection>): Promise<void> {
    const rows = new Map<string, Rejection & { readonly fingerprint: string; readonly copies: number }>()
    for (const page of pages) {
      const ofPage = [...page.rejections, ...page.jobs.flatMap(({ uuid }) => refused.get(uuid) ?? [])]
      const copies = new Map<string, number>()
      for (const rejection of ofPage) {
        const fingerprint = fingerprintOf(rejection.payload)
        const identity = rejection.uuid ?? fingerprint
        copies.set(identity, rejection.uuid === null ? (copies.get(identity) ?? 0) + 1 : 1)
        rows.set(identity, { ...rejection, fingerprint, copies: 1 })
      }
      for (const [identity, count] of copies) {
        const byPage = rejected.get(identity) ?? new Map<number, number>()
        rejected.set(identity, byPage.set(page.number, count))
      }
    }
    counters.rejected = rejected.size
    await keepRejectedJobs(
      db,
      run,
      [...rows].map(([identity, row]) => ({ ...row, copies: copiesOf(identity, rejected.get(identity) ?? new Map()) })),
    )
  }

  const pass: Pass = {
    ...options,
    missing,
    rejected,
    head: null,
    faultyPages: 0,
    movedBlocks: 0,
    isStill: true,
    isUnsorted: false,
    async ask(number) {
      const page = await ask(number)
      if (page.fault !== null) {
        pass.faultyPages += 1
        log.warn({ page: number, fault: page.fault }, 'page contradicts itself and proves nothing')
      }
      if (!page.isSorted && !pass.isUnsorted) {
        pass.isUnsorted = true
        log.warn(
          { page: number },
          'the list is not sorted by createdAt; removals cannot be told from one page to the next',
        )
      }
      if (pass.head !== null) pass.isStill &&= page.total === pass.head.total
      if (number === 1) {
        if (pass.head !== null) pass.isStill &&= listsTheSame(pass.head, page)
        pass.head = page
      }
      return page
    },
    writer: createChunkWriter(merge),
    withoutNewcomers(page) {
      if (pass.coverage.kind === 'none') return page
      const { newestStored } = options
      const jobs = page.jobs.filter((job) => newestStored !== null && toMicros(job.createdAt) < newestStored)
      return { ...page, jobs, rejections: [] }
    },
    touches(page) {
      return touchesCovered(db, run.account, pass.coverage, page)
    },
    async sweep(window, listed) {
      const range = {
        after: window.after === null ? null : toTimestamp(window.after),
        upTo: window.upTo === null ? null : toTimestamp(window.upTo),
      }
      for (const uuid of await listUnlisted(db, run.account, range, [...listed])) missing.add(uuid)
    },
  }
  return pass
}

/** The rejections that the pass has met: copies by identity. */
export function rejectionsMet(pass: Pass): ReadonlyMap<string, number> {
  return new Map([...pass.rejected].map(([identity, byPage]) => [identity, copiesOf(identity, byPage)]))
}

/** A uuid is one job, on however many pages it is met; items without one count as often as the pages hold them. */
function copiesOf(identity: string, byPage: ReadonlyMap<number, number>): number {
  if (identity.length === UUID_LENGTH) return 1
  return [...byPage.values()].reduce((sum, count) => sum + count, 0)
}
