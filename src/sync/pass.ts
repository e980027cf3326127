import type { Logger } from 'pino'
import type { SyncSizes, Timing } from '../config/scale.js'
import type { Database } from '../db/client.js'
import type { RunKey } from '../db/sync-runs.js'
import { type SyncState, saveSyncState } from '../db/sync-state.js'
import type { SpidraClient } from '../spidra/client.js'
import type { Micros } from './instant.js'
import { createKnownList, type Doubt, type KnownList } from './known-list.js'
import type { Page } from './page.js'
import { createPageReader, type PageReader } from './reader.js'
import type { Counters, RunMode } from './run-summary.js'
import { createPassWriter, type PassWriter } from './writer.js'

/** What is left of the window of the request budget. */
export interface WindowRest {
  /** Requests that may still go. */
  readonly requests: number
  /** Requests of a whole window. */
  readonly share: number
  /** Until the window ends, in milliseconds. */
  readonly endsInMs: number
}

/** When reading the head began, on the clock of `performance.now()`, and how many requests it took. */
export interface HeadRead {
  at: number
  requests: number
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
  /** What the request budget has left; null: no limit is known, or the rest is left to other accounts. */
  readonly windowRest: () => WindowRest | null
  /** Whether a full pass should stop at the next slice, its position kept, so that another worker goes on from there. */
  readonly mustYield: () => boolean
  /** Whether a merge notes ended jobs whose items are to be read. */
  readonly notesDue: boolean
  /** Called when a verdict in the middle of a full pass is `complete`, with what its head took. */
  readonly onVerdict: (head: Readonly<HeadRead>) => Promise<void>
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
}

/** One reading of the list: what it was given, and the three parts that it works with. */
export interface Pass extends Omit<SyncOptions, 'onPage' | 'client'>, PassStart {
  /** What was asked. */
  readonly reader: PageReader
  /** What is known of the list. */
  readonly list: KnownList
  /** What is to be written. */
  readonly writer: PassWriter
}

/**
 * Begins a pass.
 *
 * @param doubts the run's; they outlast the pass.
 */
export function createPass(options: SyncOptions, start: PassStart, doubts: Set<Doubt>): Pass {
  const { db, client, run, counters, log, signal, sizes, notesDue, onPage } = options
  const { state, newestStored, limit } = start
  // A user who accepts removals has checked the list: no second answer is needed to confirm them.
  const timing = options.acceptRemovals ? { ...options.timing, staleAnswerMs: 0 } : options.timing
  const save = (change: Partial<SyncState>) => saveSyncState(db, run, change)
  const list = createKnownList({ db, account: run.account, log, state, newestStored, doubts, save })
  const writer = createPassWriter({
    ...{ db, run, counters, save, sizes, notesDue, chunkWaitMs: timing.chunkWaitMs },
    onMerge(page) {
      for (const uuid of page.uuids) list.unreadOpenJobs.delete(uuid)
    },
    onRedated: () => list.doubt('redated'),
  })
  const reader = createPageReader({ client, limit, list, counters, signal, log, onPage })
  return { ...options, ...start, timing, reader, list, writer }
}
