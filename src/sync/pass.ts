import type { Logger } from 'pino'
import type { SyncSizes, Timing } from '../config/scale.js'
import { listUnlisted, rankOf } from '../db/batch-jobs-read.js'
import type { Database } from '../db/client.js'
import { countAsListedJobs } from '../db/rejected-jobs.js'
import type { RunKey } from '../db/sync-runs.js'
import { type SyncState, saveSyncState } from '../db/sync-state.js'
import type { ListAnswer, SpidraClient } from '../spidra/client.js'
import { createChunkWriter } from './chunk-writer.js'
import type { Counters } from './counters.js'
import { type Coverage, NOTHING_COVERED, toCoverage, touchesCovered } from './coverage.js'
import { type Micros, toMicros, toTimestamp } from './instant.js'
import { FixedLimitError, SmallerLimitError, TwoListsError } from './interruptions.js'
import { createPageMerger, type PageMerger } from './merge-pages.js'
import { areOfTwoLists, faultOf, listsTheSame, overlaps, type Page, type PageAsked, toPage } from './page.js'
import type { RunMode } from './run-summary.js'
import { pageAt } from './seam.js'
import type { Listed } from './stretch.js'
import type { Window } from './window.js'

/** What is left of the window of the request budget. */
export interface WindowRest {
  /** Requests that may still go. */
  readonly requests: number
  /** Requests of a whole window. */
  readonly share: number
  /** Until the window ends, in milliseconds. */
  readonly endsInMs: number
}

/** What a run is given. */
export interface SyncOptions {
  readonly db: Database
  readonly client: SpidraClient
  readonly run: RunKey
  readonly mode: RunMode
  /** Applies a mass removal instead of refusing it. */
  readonly acceptRemovals: boolean
  /** Pages that an incremental run may spend on open jobs and the sweep. */
  readonly pagesPerRun: number
  readonly timing: Timing
  readonly sizes: SyncSizes
  /** Whether a request could go now without waiting for the request budget. */
  readonly mayGo: () => boolean
  /** What the request budget has left; null where no limit is known, or others than this run should have the rest. */
  readonly windowRest: () => WindowRest | null
  /** Whether a full pass should stop at the next slice, its position kept, so that another worker goes on from there. */
  readonly mustHandOn: () => boolean
  readonly counters: Counters
  readonly signal: AbortSignal
  readonly log: Logger
  readonly onPage: (page: Page) => void
}

/** What a pass begins with. */
export interface PassStart {
  /** By the clock of the database. */
  readonly now: () => Date
  readonly state: SyncState
  /** When the newest stored live job was created; null when none is stored. */
  readonly newestStored: Micros | null
  /** Jobs a page; the API's most is 50. */
  readonly limit: number
  /**
   * Assumptions about the list that an answer of the run showed broken, in whichever pass. But for `no_overlap`, windows say
   * nothing then, and nothing is removed.
   */
  readonly doubts: Set<Doubt>
}

/**
 * A page was not sorted by `createdAt`; a page listed the same jobs in another order; a job got another `createdAt`; the
 * list loses jobs, and the server gives no overlapping pages.
 */
export type Doubt = 'unsorted' | 'reordered' | 'redated' | 'no_overlap'

/** One reading of the list: what it asks, what it stores, and what it found no longer listed. */
export interface Pass extends Omit<SyncOptions, 'onPage' | 'client'>, PassStart {
  /** Moves down as a first pass advances. */
  coverage: Coverage
  /** When the newest job of the covered ground was created, and `total` of the answer that showed it; null: not known. */
  groundTop: Micros | null
  groundTotal: number | null
  /** Stored jobs that a window enclosed without listing them; marked as removed at the next verdict. */
  readonly missing: Set<string>
  /** Open jobs that this pass has not read yet. */
  readonly wanted: Set<string>
  readonly rejectionsMet: PageMerger['rejectionsMet']
  /** The latest answer for page 1. */
  head: Page | null
  /** `total` of the latest answer. */
  latestTotal: number | null
  /** Answers that stayed faulty. */
  faultyPages: number
  /** Whether total and head were the same in all answers so far. */
  isStill: boolean
  /** The list has been seen to lose jobs. */
  readonly losesJobs: boolean
  /** Only an overlap proves that two pages join, and it can be had. */
  readonly mustOverlap: boolean
  /** Equal totals were taken for proof, and the list loses jobs: what is stored may have holes, and is read once more. */
  isUnproven: boolean
  /**
   * The answer for page 1 with which a first pass began, or, once it is over, ended: its total, and when its newest job was
   * created. Null: what is stored is proved, by overlaps, or because the list was seen to grow without a loss.
   */
  firstPass: { readonly total: number; readonly createdAt: string | null } | null
  /**
   * Asks for a page. Its jobs are listed, so none of them is missing; but they count as read only when it is merged.
   *
   * @throws TwoListsError when page 1 shows another list than before.
   */
  ask(number: number, limit?: number): Promise<Page>
  /** Hands a page over for merging. Its jobs count as read. */
  merge(page: Page): Promise<void>
  /** Calls `done` when all pages handed over so far are merged. */
  whenMerged(done: () => Promise<void>): Promise<void>
  /** Waits until all pages are merged. */
  drain(): Promise<void>
  close(): Promise<void>
  /** Whether the page touches covered ground. */
  touches(page: Page): Promise<boolean>
  /**
   * The page without what may be new. Of an answer that proves nothing, only jobs older than the newest stored one may
   * be merged: a newer one could lie above a hole.
   */
  withoutNewcomers(page: Page): Page
  /**
   * Collects the stored jobs inside the window that are not listed in it; none where an item without a readable uuid may
   * be one of them. Where the pages of the window do not overlap, such a job only shows that the list loses jobs.
   */
  checkWindow(window: Window & Listed, isOverlapping: boolean): Promise<void>
  /**
   * Checks that a page which adjoins by equal totals is older than the one above, and known where all below it must be; else
   * there may be two lists.
   */
  checkOrder(upper: Page, lower: Page): Promise<void>
  /**
   * Notes an answer for page 1 that touches covered ground. In a first pass, a total that grew by less than the jobs that
   * came since shows that the list loses jobs.
   */
  noteHead(page: Page): Promise<void>
  /** Notes that the list loses jobs. */
  noteLoss(): Promise<void>
  /** Notes and logs that an answer broke an assumption. */
  doubt(what: Doubt): void
  /** Notes what the next run goes on from. */
  save(change: Partial<SyncState>): Promise<void>
}

/** Begins a pass. */
export function createPass(options: SyncOptions, start: PassStart): Pass {
  const { db, client, run, counters, log, signal, sizes } = options
  // Whoever accepts removals has looked at the list, and does not wait for another answer to confirm them.
  const timing = options.acceptRemovals ? { ...options.timing, staleAnswerMs: 0 } : options.timing
  const { limit, state, newestStored } = start
  const merger = createPageMerger(db, run, counters, () => pass.doubt('redated'))
  const writer = createChunkWriter(merger.merge, sizes.chunkPages, timing.chunkWaitMs)
  let losesJobs = state.losesJobs
  let isOrderChecked = false

  function checkAnswer(answer: ListAnswer, asked: PageAsked): string | null {
    const given = answer.pagination.limit
    if (given !== asked.limit && faultOf(answer, { page: asked.number, limit: given }) === null) {
      if (given < limit && given < asked.limit) throw new SmallerLimitError(given)
      if (given > asked.limit && asked.limit < limit) throw new FixedLimitError()
    }
    return faultOf(answer, { page: asked.number, limit: asked.limit })
  }

  async function request(asked: PageAsked): Promise<Page> {
    const { number: page, limit } = asked
    try {
      return toPage(
        asked,
        await client.listPage({ page, limit, signal, faultOf: (answer) => checkAnswer(answer, asked) }),
      )
    } catch (error) {
      if (!(error instanceof FixedLimitError)) throw error
      pass.doubt('no_overlap')
      return request(pageAt((page - 1) * limit, start.limit))
    }
  }

  /** Watches the assumptions, as far as one answer shows them. */
  async function watch(page: Page): Promise<void> {
    if (page.fault !== null) {
      pass.faultyPages += 1
      log.warn({ page: page.number, fault: page.fault }, 'page contradicts itself and proves nothing')
    }
    if (!page.isSorted) pass.doubt('unsorted')
    const { head, latestTotal } = pass
    if (page.fault === null) pass.latestTotal = page.total
    if (page.fault === null && latestTotal !== null && page.total < latestTotal) await pass.noteLoss()
    if (head !== null) pass.isStill &&= page.total === head.total
    if (page.number !== 1 || page.limit !== limit) return
    if (head !== null && page.fault === null && !listsTheSame(head, page)) {
      if (!pass.doubts.has('unsorted') && areOfTwoLists(head, page)) throw new TwoListsError()
      pass.isStill = false
      if (page.total === head.total && [...page.uuids].every((uuid) => head.uuids.has(uuid))) pass.doubt('reordered')
    }
    if (page.fault === null) pass.head = page
  }

  const pass: Pass = {
    ...options,
    ...start,
    timing,
    coverage: toCoverage(state, newestStored),
    groundTop: newestStored,
    groundTotal: null,
    missing: new Set(),
    wanted: new Set(),
    rejectionsMet: merger.rejectionsMet,
    head: null,
    latestTotal: null,
    faultyPages: 0,
    isStill: true,
    isUnproven: false,
    firstPass: state.passTotal === null ? null : { total: state.passTotal, createdAt: state.passCreatedAt },
    get losesJobs() {
      return losesJobs
    },
    get mustOverlap() {
      return losesJobs && !pass.doubts.has('no_overlap')
    },
    async ask(number, pageLimit = limit) {
      const page = await request({ number, limit: pageLimit })
      counters.pagesRead += 1
      counters.jobsRead += page.jobs.length
      for (const uuid of page.uuids) pass.missing.delete(uuid)
      await watch(page)
      log.debug({ page: number, limit: pageLimit, total: page.total, jobs: page.jobs.length }, 'page read')
      options.onPage(page)
      return page
    },
    async merge(page) {
      for (const uuid of page.uuids) pass.wanted.delete(uuid)
      await writer.write([page])
    },
    whenMerged: (done) => writer.write([], done),
    drain: writer.drain,
    close: writer.close,
    touches: (page) => touchesCovered(db, run.account, pass.coverage, page),
    withoutNewcomers(page) {
      if (pass.coverage.kind === 'none') return page
      const jobs = page.jobs.filter((job) => newestStored !== null && toMicros(job.createdAt) < newestStored)
      return { ...page, jobs, rejections: [], uuids: new Set(jobs.map(({ uuid }) => uuid)) }
    },
    async checkWindow({ after, upTo, newest, uuids, nameless }, isOverlapping) {
      if (newestStored === null) return
      const settled = newest === null ? null : { newest: toTimestamp(newest), ageMs: timing.staleAnswerMs }
      const range = { after: textOf(after), upTo: textOf(upTo), settled }
      const unlisted = await listUnlisted(db, run.account, range, uuids)
      if (unlisted.length === 0) return
      if (nameless.size > 0) {
        // What this run has changed in the quarantine must be there first.
        await writer.drain()
        if (!(await countAsListedJobs(db, run.account, nameless))) return
      }
      await pass.noteLoss()
      if (isOverlapping) for (const uuid of unlisted) pass.missing.add(uuid)
    },
    async checkOrder(upper, lower) {
      if (isOrderChecked || pass.doubts.has('unsorted') || overlaps(upper, lower)) return
      const isOlder = upper.oldest === null || lower.newest === null || lower.newest <= upper.oldest
      // All that an account which is whole lists below its newest stored job is stored.
      const isKnown = pass.coverage.kind !== 'whole' || lower.uuids.size === 0 || (await pass.touches(lower))
      if (isOlder && isKnown) return
      isOrderChecked = true
      // Two answers in a row show both lists, where a proxy or a load balancer takes turns.
      await pass.ask(1)
      await pass.ask(1)
    },
    async noteHead(page) {
      pass.groundTotal = page.total
      if (page.newest !== null && (pass.groundTop === null || page.newest > pass.groundTop))
        pass.groundTop = page.newest
      const { firstPass } = pass
      if (firstPass === null || firstPass.createdAt === null || losesJobs || pass.doubts.has('unsorted')) return
      const newcomers = await rankOf(db, run.account, firstPass.createdAt)
      if (page.total - firstPass.total < newcomers) await pass.noteLoss()
    },
    async noteLoss() {
      if (losesJobs) return
      losesJobs = true
      pass.isUnproven = pass.firstPass !== null
      log.info('the list loses jobs: from now on its pages are read so that they overlap')
      // In one statement: after a crash nobody would know that what is stored was taken for whole by totals.
      await pass.save({ losesJobs, ...(pass.isUnproven ? NOTHING_COVERED : {}) })
    },
    doubt(what) {
      // Every page may show it.
      if (pass.doubts.has(what)) return
      pass.doubts.add(what)
      if (what === 'no_overlap')
        log.warn('pages cannot be read so that they overlap: no run can prove that it is complete')
      else log.warn({ doubt: what }, 'list breaks an assumption: nothing is marked as removed in this run')
    },
    save: (change) => saveSyncState(db, run, change),
  }
  return pass
}

function textOf(bound: Micros | null): string | null {
  return bound === null ? null : toTimestamp(bound)
}
