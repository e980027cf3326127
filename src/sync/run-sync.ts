import type { Logger } from 'pino'
import { countLiveJobs, rankOf, readNewestCreatedAt } from '../db/batch-jobs-read.js'
import type { Database } from '../db/client.js'
import { countOpenRejections, settleRejectedJobs } from '../db/rejected-jobs.js'
import { markRemoved } from '../db/removals.js'
import type { RunKey } from '../db/sync-runs.js'
import { loadSyncState, saveComplete, saveCoverage } from '../db/sync-state.js'
import type { SpidraClient } from '../spidra/client.js'
import type { Counters } from './counters.js'
import type { Coverage } from './coverage.js'
import { reachCoveredGround } from './head.js'
import { type Micros, toMicros, toTimestamp } from './instant.js'
import type { Page } from './page.js'
import { createPass, type Pass, rejectionsMet, SmallerLimitError } from './pass.js'
import { decideVerdict, isMassRemoval, type PartialReason, type Verdict } from './verdict.js'
import { type WalkEnd, walkDown } from './walk.js'

/** The most jobs that the API gives on a page. */
const PAGE_LIMIT = 50

/** A pass whose verdict is not `complete` is worth one repetition: the list may have moved too fast. */
const PASSES = 2

export interface SyncOptions {
  readonly db: Database
  readonly client: SpidraClient
  readonly run: RunKey
  /** Requests in flight. */
  readonly concurrency: number
  readonly counters: Counters
  readonly signal: AbortSignal
  readonly log: Logger
  readonly onPage: (page: Page) => void
}

/** What a second reading may mend; a faulty page was asked for often enough, and another account's key stays one. */
const REPEATABLE: ReadonlySet<PartialReason> = new Set([
  'list_moving',
  'fewer_stored_than_listed',
  'more_stored_than_listed',
  'first_pass_unfinished',
])

/** The verdict of a run, and the counts it was taken on; null where it ended before there were any. */
export type SyncResult = Verdict & { readonly listedTotal: number | null; readonly storedTotal: number | null }

/**
 * Reads the whole list and merges it, going on where an unfinished first pass was cut off, then takes the verdict.
 *
 * @throws SpidraError when a page could not be had; RunClosedError when another worker took over; the signal's reason.
 */
export async function runSync(options: SyncOptions): Promise<SyncResult> {
  let limit = PAGE_LIMIT
  for (;;) {
    try {
      return await runPasses(options, limit)
    } catch (error) {
      if (!(error instanceof SmallerLimitError)) throw error
      limit = error.limit
      options.log.warn({ limit }, 'the api gives smaller pages than asked; beginning anew')
    }
  }
}

async function runPasses(options: SyncOptions, limit: number): Promise<SyncResult> {
  for (let round = 1; ; round += 1) {
    const pass = await openPass(options, limit)
    const result = await runPass(pass)
    if (result.status === 'complete' || round === PASSES) return result
    if (!REPEATABLE.has(result.reason)) return result
    options.log.info({ reason: result.reason }, 'list moved while it was read; reading it once more')
  }
}

async function openPass(options: SyncOptions, limit: number): Promise<Pass> {
  const { db, run } = options
  const state = await loadSyncState(db, run.account)
  const newest = await readNewestCreatedAt(db, run.account)
  const coverage = toCoverage(state.isWhole, state.bottomCreatedAt)
  return createPass({ ...options, limit, coverage, newestStored: newest === null ? null : toMicros(newest) })
}

function toCoverage(isWhole: boolean, bottomCreatedAt: string | null): Coverage {
  if (isWhole) return { kind: 'whole' }
  return bottomCreatedAt === null ? { kind: 'none' } : { kind: 'down_to', bottom: toMicros(bottomCreatedAt) }
}

/** One pass over the whole list, and the verdict on the head after it. */
async function runPass(pass: Pass): Promise<SyncResult> {
  const first = await pass.ask(1)
  const hasReadAll = pass.coverage.kind !== 'down_to'
  const isOnlyPage = first.fault === null && first.totalPages <= 1
  const end = isOnlyPage ? 'end' : await readList(pass, first)
  await pass.writer.drain()
  if (end !== 'end') return withoutCounts(pass, end)
  const head = await reachCoveredGround(pass, isOnlyPage ? first : null)
  await pass.writer.drain()
  if ('end' in head) return withoutCounts(pass, head.end)
  if (head.page.totalPages <= 1) {
    await pass.sweep({ after: null, upTo: null }, head.page.uuids)
    await cover(pass, null)
  }
  return takeVerdict(pass, head.page, hasReadAll)
}

/** Reads every page, or, after a first pass that was cut off, the head and what lies below its bottom. */
async function readList(pass: Pass, first: Page): Promise<WalkEnd> {
  switch (pass.coverage.kind) {
    case 'none':
      return walkDown(pass, first, { isFirstPass: true, isFull: true, onSwept: (bottom) => cover(pass, bottom) })
    case 'down_to': {
      const { bottom } = pass.coverage
      const head = await reachCoveredGround(pass, first)
      if ('end' in head) return head.end === 'gap' ? beginAnew(pass) : head.end
      const start = await stepUpTo(pass, bottom)
      return walkDown(pass, start, { isFirstPass: true, isFull: true, onSwept: (below) => cover(pass, below) })
    }
    case 'whole': {
      const end = await walkDown(pass, first, { isFull: true })
      return end === 'gap' ? beginAnew(pass) : end
    }
    default:
      return pass.coverage satisfies never
  }
}

/** A page that touches covered ground just above the bottom, so that nothing between the two is missed. */
async function stepUpTo(pass: Pass, bottom: Micros): Promise<Page> {
  const rank = await rankOf(pass.db, pass.run.account, toTimestamp(bottom))
  let page = await pass.ask(Math.floor(rank / pass.limit) + 1)
  while (page.number > 1 && !(await pass.touches(page))) page = await pass.ask(page.number - 1)
  return page
}

/** Where too much is new to be held back, the pass is a first pass again: nothing counts as covered. */
async function beginAnew(pass: Pass): Promise<WalkEnd> {
  pass.log.info({ account: pass.run.account }, 'too much is new at the head; reading the list like the first time')
  pass.coverage = { kind: 'none' }
  await saveCoverage(pass.db, pass.run.account, { isWhole: false, bottomCreatedAt: null })
  return readList(pass, await pass.ask(1))
}

/** Notes down to where everything is stored now; null: to the end of the list. */
async function cover(pass: Pass, bottom: Micros | null): Promise<void> {
  pass.coverage = bottom === null ? { kind: 'whole' } : { kind: 'down_to', bottom }
  const bottomCreatedAt = bottom === null ? null : toTimestamp(bottom)
  await saveCoverage(pass.db, pass.run.account, { isWhole: bottom === null, bottomCreatedAt })
}

async function takeVerdict(pass: Pass, head: Page, hasReadAll: boolean): Promise<SyncResult> {
  const { db, run, counters, missing } = pass
  const live = await countLiveJobs(db, run.account)
  if (isMassRemoval(missing.size, live)) return withoutCounts(pass, 'strange')
  if (!pass.isUnsorted) counters.removed += await markRemoved(db, run, [...missing])
  if (hasReadAll) await settleRejectedJobs(db, run, rejectionsMet(pass))
  const stored = (await countLiveJobs(db, run.account)) + (await countOpenRejections(db, run.account))
  const verdict = decideVerdict({
    isWhole: pass.coverage.kind === 'whole',
    listedTotal: head.total,
    storedTotal: stored,
    isDoubtful: pass.isUnsorted && !pass.isStill,
  })
  if (verdict.status === 'complete') await saveComplete(db, run.account, instantOf(head))
  return { ...verdict, listedTotal: head.total, storedTotal: stored }
}

/** When the list was as the page shows it, at the earliest. */
function instantOf(page: Page): Date {
  return new Date(Date.now() - (performance.now() - page.askedAt))
}

function withoutCounts(pass: Pass, end: Exclude<WalkEnd, 'end'>): SyncResult {
  return { status: 'partial', reason: reasonOf(pass, end), listedTotal: null, storedTotal: null }
}

function reasonOf(pass: Pass, end: Exclude<WalkEnd, 'end'>): PartialReason {
  if (end === 'strange') return 'mass_removal'
  return pass.faultyPages > 0 ? 'page_faulty' : 'list_moving'
}
