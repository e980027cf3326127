import type { Logger } from 'pino'
import { hasStored, rankOf } from '../db/batch-jobs-read.js'
import type { Database } from '../db/client.js'
import type { SyncState } from '../db/sync-state.js'
import { type Micros, toMicros, toTimestamp } from './instant.js'
import type { Page } from './page.js'

/**
 * Which part of the list is stored without holes.
 *
 * - `none`: no pass has begun, or nothing is stored.
 * - `down_to`: everything listed between the newest stored job and `bottom`; covered ground is what is stored and
 *   strictly newer, because jobs that tie with the bottom may go on below it.
 * - `whole`: a pass has reached the end of the list.
 */
export type Coverage =
  | { readonly kind: 'none' }
  | { readonly kind: 'down_to'; readonly bottom: Micros }
  | { readonly kind: 'whole' }

/** The state of an account that must be read as if for the first time. */
export const NOTHING_COVERED = {
  isWhole: false,
  bottomCreatedAt: null,
  fullCreatedAt: null,
  fullStartedAt: null,
  passTotal: null,
  passCreatedAt: null,
} as const

/**
 * An assumption about the list that an answer showed broken.
 *
 * - `unsorted`: a page was not sorted by `createdAt`.
 * - `reordered`: a page listed the same jobs in another order.
 * - `redated`: a job got another `createdAt`.
 * - `no_overlap`: the list loses jobs, and the server gives no overlapping pages.
 */
export type Doubt = 'unsorted' | 'reordered' | 'redated' | 'no_overlap'

/** What a pass knows of the list, and of what is stored of it. */
export interface KnownList {
  /** Moves down as a first pass advances. */
  coverage: Coverage
  /** When the newest job of the covered ground was created, and `total` of the answer that showed it; null: not known. */
  groundTop: Micros | null
  groundTotal: number | null
  /** Stored jobs that a window enclosed without listing them; marked as removed at the next verdict. */
  readonly missing: Set<string>
  /** Uuids of open jobs that this pass has not read yet. */
  readonly unreadOpenJobs: Set<string>
  /** Where reading them in turn goes on: at jobs created before. Null: from the newest. */
  openCreatedAt: string | null
  /** When they were last noted, by the clock of the database; null: not yet in this pass. */
  openNotedAt: Date | null
  /** Assumptions that an answer showed broken, kept over all passes of the run. Any but `no_overlap` stops removals. */
  readonly doubts: Set<Doubt>
  /** The list has been seen to lose jobs. */
  readonly losesJobs: boolean
  /** The list loses jobs, and stored ones were read without overlaps: equal counts prove nothing. */
  readonly lacksOverlaps: boolean
  /** Only an overlap proves that two pages join, and the server can give overlapping pages. */
  readonly mustOverlap: boolean
  /** Equal totals were taken for proof, and the list loses jobs: what is stored may have holes, and is read once more. */
  isUnproven: boolean
  /** Page 1 has been asked for twice to tell one list from two. */
  isOrderChecked: boolean
  /**
   * The answer for page 1 with which a first pass began, or, once it is over, ended: its total, and when its newest job was
   * created. Null: what is stored is proved, by overlaps, or because the list was seen to grow without a loss. In a list that
   * loses jobs it stands for jobs that were read without overlaps: they stay unproved until a full pass overlaps.
   */
  firstPass: { readonly total: number; readonly createdAt: string | null } | null
  /** Whether the page touches covered ground, so that nothing between it and the ground can be missing. */
  touches(page: Page): Promise<boolean>
  /**
   * The page without what may be new. Of an answer that proves nothing, only jobs older than the newest stored one may
   * be merged: a newer one could lie above a hole.
   */
  withoutNewcomers(page: Page): Page
  /**
   * Notes an answer for page 1 that touches covered ground. While `firstPass` is set, a total that grew by less than the
   * jobs that came since shows that the list loses jobs.
   */
  noteHead(page: Page): Promise<void>
  /** Notes that the list loses jobs. */
  noteLoss(): Promise<void>
  /** Notes and logs that an answer broke an assumption. */
  doubt(what: Exclude<Doubt, 'no_overlap'>): void
  /** Notes and logs that pages have to overlap and cannot. What is read from now on is unproved, also after a crash. */
  doubtOverlap(): Promise<void>
  /** Saves that what is stored is unproved, if the list loses jobs and pages cannot overlap. */
  noteMissingOverlaps(): Promise<void>
}

export interface KnownListOptions {
  readonly db: Database
  readonly account: string
  readonly log: Logger
  readonly state: SyncState
  /** When the newest stored live job was created; null when none is stored. */
  readonly newestStored: Micros | null
  readonly doubts: Set<Doubt>
  readonly save: (change: Partial<SyncState>) => Promise<void>
}

export function createKnownList(options: KnownListOptions): KnownList {
  const { db, account, log, state, newestStored, doubts, save } = options
  let { losesJobs } = state

  /** Saved before the first page that does not overlap is merged: otherwise that page would count as proved after a crash. */
  async function noteMissingOverlaps(): Promise<void> {
    if (!losesJobs || !doubts.has('no_overlap') || list.isUnproven || list.firstPass !== null) return
    list.firstPass = { total: 0, createdAt: null }
    await save({ passTotal: 0, passCreatedAt: null })
  }

  const list: KnownList = {
    coverage: toCoverage(state, newestStored),
    groundTop: newestStored,
    groundTotal: null,
    missing: new Set(),
    unreadOpenJobs: new Set(),
    openCreatedAt: state.openCreatedAt,
    openNotedAt: null,
    doubts,
    isUnproven: false,
    isOrderChecked: false,
    firstPass: state.passTotal === null ? null : { total: state.passTotal, createdAt: state.passCreatedAt },
    get losesJobs() {
      return losesJobs
    },
    get lacksOverlaps() {
      return losesJobs && list.firstPass !== null
    },
    get mustOverlap() {
      return losesJobs && !doubts.has('no_overlap')
    },
    touches: (page) => touchesCovered(db, account, list.coverage, page),
    withoutNewcomers(page) {
      if (list.coverage.kind === 'none') return page
      const isKnown = (_: unknown, index: number) =>
        newestStored !== null && (page.instants[index] ?? 0n) < newestStored
      const jobs = page.jobs.filter(isKnown)
      const content = page.content && { ...page.content, jobs: page.content.jobs.filter(isKnown), rejections: [] }
      return { ...page, jobs, rejected: [], content, uuids: new Set(jobs) }
    },
    async noteHead(page) {
      list.groundTotal = page.total
      if (page.newest !== null && (list.groundTop === null || page.newest > list.groundTop))
        list.groundTop = page.newest
      const { firstPass } = list
      if (firstPass === null || firstPass.createdAt === null || losesJobs || doubts.has('unsorted')) return
      const newcomers = await rankOf(db, account, firstPass.createdAt)
      if (page.total - firstPass.total < newcomers) await list.noteLoss()
    },
    async noteLoss() {
      if (losesJobs) return
      losesJobs = true
      list.isUnproven = list.firstPass !== null
      log.info('the list loses jobs: from now on its pages are read so that they overlap')
      // One statement saves both: after a crash in between, stored jobs with holes would count as proved.
      await save({ losesJobs, ...(list.isUnproven ? NOTHING_COVERED : {}) })
      await noteMissingOverlaps()
    },
    doubt(what) {
      // One warning a run is enough, and every page may show the same fault.
      if (doubts.has(what)) return
      doubts.add(what)
      log.warn({ doubt: what }, 'list breaks an assumption: nothing is marked as removed in this run')
    },
    async doubtOverlap() {
      if (doubts.has('no_overlap')) return
      doubts.add('no_overlap')
      log.warn('pages cannot be read so that they overlap: no run can prove that it is complete')
      await noteMissingOverlaps()
    },
    noteMissingOverlaps,
  }
  return list
}

/**
 * Derives the coverage from the stored state of the account.
 *
 * @param newestStored `createdAt` of the newest live job; null when none is stored, so that there is no ground to stand on.
 */
function toCoverage(
  { isWhole, bottomCreatedAt }: Pick<SyncState, 'isWhole' | 'bottomCreatedAt'>,
  newestStored: Micros | null,
): Coverage {
  if (newestStored === null) return { kind: 'none' }
  if (isWhole) return { kind: 'whole' }
  if (bottomCreatedAt === null) return { kind: 'none' }
  const bottom = toMicros(bottomCreatedAt)
  // Where all that is stored ties with the bottom, nothing is covered.
  return newestStored > bottom ? { kind: 'down_to', bottom } : { kind: 'none' }
}

async function touchesCovered(db: Database, account: string, coverage: Coverage, page: Page): Promise<boolean> {
  switch (coverage.kind) {
    case 'none':
      return false
    case 'down_to':
      return hasStored(db, account, [...page.uuids], toTimestamp(coverage.bottom))
    case 'whole':
      return hasStored(db, account, [...page.uuids], null)
    default:
      return coverage satisfies never
  }
}
