import { readNewestCreatedAt } from '../db/batch-jobs-read.js'
import { openDatabaseClock } from '../db/client.js'
import { hasNewRejections } from '../db/rejected-jobs.js'
import { openSyncState, type SyncState } from '../db/sync-state.js'
import { reachHead } from './head.js'
import { toMicros } from './instant.js'
import { SmallerLimitError, TwoListsError } from './interruptions.js'
import type { Doubt } from './known-list.js'
import { noteOpenJobs } from './open-jobs.js'
import { createPass, type Pass, type PassStart, type SyncOptions } from './pass.js'
import { readEverything } from './read-all.js'
import { readRecent } from './read-recent.js'
import { type PartialReason, type SyncResult, settle, surplusOf, withoutCounts } from './verdict.js'

/** A full pass whose verdict is not `complete` is worth one repetition: the list may have moved too fast. */
const FULL_PASSES = 2

/** Reasons that a second reading may clear. It cannot clear a page that stayed faulty, or the key of another account. */
const REPEATABLE: ReadonlySet<PartialReason> = new Set([
  'list_moving',
  'fewer_stored_than_listed',
  'more_stored_than_listed',
  'first_pass_unfinished',
])

const MASS_REMOVAL_ADVICE =
  'most stored jobs are no longer listed: if key and URL are right, sync --full --accept-removals marks them as removed'

/** A run's verdict, and what it left unread. */
export type RunResult = SyncResult & {
  /** Open jobs that no page of the run has listed. */
  readonly openUnread: number
}

/**
 * Brings the table up to what the API lists, and takes the verdict.
 *
 * @throws SpidraError when a page could not be had; RunClosedError when another worker took over; the signal's reason.
 */
export async function runSync(options: SyncOptions): Promise<RunResult> {
  let limit = options.sizes.pageLimit
  const doubts = new Set<Doubt>()
  for (;;) {
    try {
      return await runPasses(options, limit, doubts)
    } catch (error) {
      if (!(error instanceof SmallerLimitError)) throw error
      limit = error.limit
      options.log.warn({ limit }, 'pages are smaller than asked: beginning anew')
    }
  }
}

async function runPasses(options: SyncOptions, limit: number, doubts: Set<Doubt>): Promise<RunResult> {
  for (let round = 1; ; round += 1) {
    const pass = createPass(options, { ...(await openStart(options)), limit }, doubts)
    const result = await readAs(pass)
      .catch((error: unknown) => toResult(error, pass))
      .finally(() => pass.writer.close())
    await noteOutcome(pass, result)
    if (pass.list.isUnproven) {
      options.log.info(
        'jobs disappear from the list, so what was stored may have gaps: reading it again with overlapping pages',
      )
      continue
    }
    const mayRepeat = options.mode === 'full' && round < FULL_PASSES
    if (!mayRepeat || !isRepeatable(result, doubts)) return { ...result, openUnread: pass.list.unreadOpenJobs.size }
    options.log.info({ reason: result.reason }, 'reading the list once more')
  }
}

/** Whether a second reading may change the result. Where an assumption is broken the run removes nothing, so a surplus stays. */
function isRepeatable({ reason }: SyncResult, doubts: ReadonlySet<Doubt>): boolean {
  if (reason === null || !REPEATABLE.has(reason)) return false
  return reason !== 'more_stored_than_listed' || doubts.size === 0
}

/** An incremental run needs stored live jobs to begin at. */
function readAs(pass: Pass): Promise<SyncResult> {
  return pass.mode === 'full' || pass.list.coverage.kind !== 'whole' ? readAll(pass) : readRecent(pass)
}

function toResult(error: unknown, { log }: Pass): SyncResult {
  if (!(error instanceof TwoListsError)) throw error
  log.error({ err: error }, 'the API answers with the lists of two accounts')
  return { status: 'partial', reason: 'two_lists', listedTotal: null, storedTotal: null }
}

async function openStart({ db, run }: SyncOptions): Promise<Pick<PassStart, 'now' | 'state' | 'newestStored'>> {
  const now = await openDatabaseClock(db)
  const state = await openSyncState(db, run.account)
  const newest = await readNewestCreatedAt(db, run.account)
  return { now, state, newestStored: newest === null ? null : toMicros(newest) }
}

/** Reads every page. The first answer is enough for a list of one page. */
async function readAll(pass: Pass): Promise<SyncResult> {
  await noteOpenJobs(pass)
  const first = await pass.reader.ask(1)
  if (first.totalPages > 1 || first.fault !== null) return readEverything(pass, first)
  const reached = await reachHead(pass, first)
  if ('end' in reached) return withoutCounts(pass, reached.end)
  // The first answer may have been an old one.
  return reached.page.totalPages > 1
    ? readEverything(pass, reached.page)
    : settle(pass, reached.page, { hasReadAll: true })
}

/** Saves what the next run must know of this one. */
async function noteOutcome(pass: Pass, result: SyncResult): Promise<void> {
  const { state } = pass
  const difference = surplusOf(result)
  const change: { -readonly [Name in keyof SyncState]?: SyncState[Name] } = {}
  // A difference that items newly rejected in this run cause may go away by itself, so it is not recorded.
  const isTried = difference !== 0 && !(await hasNewRejections(pass.db, pass.run))
  const triedDifference = isTried ? difference : null
  if (result.listedTotal !== null && triedDifference !== state.triedDifference) change.triedDifference = triedDifference
  const isUnsorted = pass.list.doubts.has('unsorted')
  if (isUnsorted !== state.isUnsorted) change.isUnsorted = isUnsorted
  // `begin` may have saved `fullStartedAt` in this run: the next run must not be full because of a foreign list.
  if (result.reason === 'mass_removal' && state.fullStartedAt === null) change.fullStartedAt = null
  if (result.reason === 'mass_removal') pass.log.error(MASS_REMOVAL_ADVICE)
  if (Object.keys(change).length > 0) await pass.writer.save(change)
}
