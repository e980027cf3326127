import type { Logger } from 'pino'
import { listUnlisted } from '../db/batch-jobs-read.js'
import type { Database } from '../db/client.js'
import { areItemsOfTheirOwn } from '../db/rejected-jobs.js'
import type { RunKey } from '../db/sync-runs.js'
import { type SyncState, saveSyncState } from '../db/sync-state.js'
import type { SyncSizes, Timing } from '../scale.js'
import type { SpidraClient } from '../spidra/client.js'
import { type ChunkWriter, createChunkWriter } from './chunk-writer.js'
import type { Counters } from './counters.js'
import { type Coverage, toCoverage, touchesCovered } from './coverage.js'
import { type Micros, toMicros, toTimestamp } from './instant.js'
import { SmallerLimitError } from './interruptions.js'
import { createPageMerger, type PageMerger } from './merge-pages.js'
import { faultOf, listsTheSame, type Page, toPage } from './page.js'
import type { RunMode } from './run-summary.js'
import type { Listed } from './stretch.js'
import type { Window } from './window.js'

/** What a run is given. */
export interface SyncOptions {
  readonly db: Database
  readonly client: SpidraClient
  readonly run: RunKey
  readonly mode: RunMode
  /** What was asked for; an unfinished pass makes an incremental run full. */
  readonly asked: RunMode
  /** Pages that an incremental run may spend on open jobs and the sweep. */
  readonly pagesPerRun: number
  readonly timing: Timing
  readonly sizes: SyncSizes
  /** Whether a request could go now without waiting for the request budget. */
  readonly mayGo: () => boolean
  /** Whether a full pass should stop at the next stretch, its position kept, so that another worker goes on from there. */
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
   * Assumptions about the list that an answer of the run showed broken, in whichever pass. Then windows say nothing, and
   * nothing is removed.
   */
  readonly doubts: Set<Doubt>
}

/** A page was not sorted by `createdAt`; a page listed the same jobs in another order; a job got another `createdAt`. */
export type Doubt = 'unsorted' | 'reordered' | 'redated'

/** One reading of the list: what it asks, what it stores, and what it found no longer listed. */
export interface Pass extends Omit<SyncOptions, 'onPage' | 'client'>, PassStart {
  /** Moves down as a first pass advances. */
  coverage: Coverage
  /** Stored jobs that a window enclosed without listing them; marked as removed when the run ends. */
  readonly missing: Set<string>
  /** Open jobs that no page of this pass has listed yet. */
  readonly wanted: Set<string>
  readonly writer: ChunkWriter
  readonly rejectionsMet: PageMerger['rejectionsMet']
  /** The latest answer for page 1. */
  head: Page | null
  /** `total` of the latest answer. */
  latestTotal: number | null
  /** Answers that stayed faulty. */
  faultyPages: number
  /** Whether total and head were the same in all answers so far. */
  isStill: boolean
  /** Whether a second full run may mark a mass of jobs as removed: one that was asked for, not one that had to be full. */
  readonly acceptsMassRemoval: boolean
  /** Asks for a page. Its jobs are listed, so none of them is missing. */
  ask(number: number): Promise<Page>
  /** Whether the page touches covered ground. */
  touches(page: Page): Promise<boolean>
  /**
   * The page without what may be new. Of an answer that proves nothing, only jobs older than the newest stored one may
   * be merged: a newer one could lie above a hole.
   */
  withoutNewcomers(page: Page): Page
  /**
   * Collects the stored jobs inside the window that are not listed in it; none where an item without a readable uuid may
   * be one of them.
   */
  sweep(window: Window, listed: Listed): Promise<void>
  /** Notes what the next run goes on from. */
  save(change: Partial<SyncState>): Promise<void>
}

/** Begins a pass. */
export function createPass(options: SyncOptions, start: PassStart): Pass {
  const { db, client, run, counters, log, signal, asked, sizes, timing } = options
  const { limit, state, newestStored } = start
  const merger = createPageMerger(db, run, counters, () => doubt('redated'))

  function faultOrSmaller(answer: Parameters<typeof faultOf>[0], page: number): string | null {
    const smaller = answer.pagination.limit
    if (smaller < limit && faultOf(answer, { page, limit: smaller }) === null) throw new SmallerLimitError(smaller)
    return faultOf(answer, { page, limit })
  }

  /** Warns once of each, since every page may show it. */
  function doubt(what: Doubt): void {
    if (pass.doubts.has(what)) return
    pass.doubts.add(what)
    log.warn({ doubt: what }, 'list breaks an assumption: nothing is marked as removed in this run')
  }

  /** Watches the assumptions, as far as one answer shows them. */
  function watch(page: Page): void {
    if (page.fault !== null) {
      pass.faultyPages += 1
      log.warn({ page: page.number, fault: page.fault }, 'page contradicts itself and proves nothing')
    }
    if (!page.isSorted) doubt('unsorted')
    const { head } = pass
    if (head !== null) pass.isStill &&= page.total === head.total
    if (page.number !== 1) return
    if (head !== null && !listsTheSame(head, page)) {
      pass.isStill = false
      if (page.total === head.total && [...page.uuids].every((uuid) => head.uuids.has(uuid))) doubt('reordered')
    }
    pass.head = page
  }

  const pass: Pass = {
    ...options,
    ...start,
    coverage: toCoverage(state),
    missing: new Set(),
    wanted: new Set(),
    writer: createChunkWriter(merger.merge, sizes.chunkPages, timing.chunkWaitMs),
    rejectionsMet: merger.rejectionsMet,
    head: null,
    latestTotal: null,
    faultyPages: 0,
    isStill: true,
    acceptsMassRemoval: asked === 'full' && state.massRemovalAt !== null,
    async ask(number) {
      const faultOf = (answer: Parameters<typeof faultOrSmaller>[0]) => faultOrSmaller(answer, number)
      const page = toPage(number, await client.listPage({ page: number, limit, signal, faultOf }))
      counters.pagesRead += 1
      counters.jobsRead += page.jobs.length
      for (const uuid of page.uuids) {
        pass.missing.delete(uuid)
        pass.wanted.delete(uuid)
      }
      watch(page)
      pass.latestTotal = page.total
      log.debug({ page: number, total: page.total, jobs: page.jobs.length }, 'page read')
      options.onPage(page)
      return page
    },
    touches: (page) => touchesCovered(db, run.account, pass.coverage, page),
    withoutNewcomers(page) {
      if (pass.coverage.kind === 'none') return page
      const jobs = page.jobs.filter((job) => newestStored !== null && toMicros(job.createdAt) < newestStored)
      return { ...page, jobs, rejections: [] }
    },
    async sweep({ after, upTo }, { uuids, nameless }) {
      if (newestStored === null) return
      const range = { after: textOf(after), upTo: textOf(upTo) }
      const unlisted = await listUnlisted(db, run.account, range, uuids)
      if (unlisted.length > 0 && nameless.size > 0) {
        // What this run has changed in the quarantine must be there first.
        await pass.writer.drain()
        if (!(await areItemsOfTheirOwn(db, run.account, nameless))) return
      }
      for (const uuid of unlisted) pass.missing.add(uuid)
    },
    save: (change) => saveSyncState(db, run, change),
  }
  return pass
}

function textOf(bound: Micros | null): string | null {
  return bound === null ? null : toTimestamp(bound)
}
