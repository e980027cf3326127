import fc from 'fast-check'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SYNC_SIZES, type SyncSizes, TIMING } from '../../src/config/scale.js'
import { openSyncState } from '../../src/db/sync-state.js'
import { modeOf } from '../../src/sync/run-mode.js'
import type { RunMode } from '../../src/sync/run-summary.js'
import { createCounters } from '../../src/sync/run-summary.js'
import { type RunResult, runSync } from '../../src/sync/run-sync.js'
import { openRun } from '../support/job-rows.js'
import { createMovingList, Died, type ListedJob, type Move, type MovingList } from '../support/moving-list.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

/**
 * `npm test` tries the same 50 histories each time, and `npm run test:slow` 50 others, so that they say of a change whether it
 * broke one. The torture draws others.
 */
const HISTORIES = Number(process.env.CHURN_HISTORIES ?? 50)
const DEFAULT_SEED = process.env.TEST_SLOW ? 20_261_127 : 20_261_126
const SEED = process.env.CHURN_SEED === 'random' ? {} : { seed: Number(process.env.CHURN_SEED ?? DEFAULT_SEED) }

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database[Symbol.asyncDispose]())

interface PlannedRun {
  readonly mode: RunMode
  readonly pagesPerRun: number
  readonly refreshMs: number
  readonly diesIn: number | null
  readonly moves: readonly Move[]
  readonly pace: readonly number[]
}

const comes = fc.record({
  kind: fc.constant('come' as const),
  tie: fc.boolean(),
  // Now and then more than a page, and more than a few pages: as during a wait for the request budget.
  count: fc.oneof({ weight: 8, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.integer({ min: 2, max: 40 }) }),
})
const changes = fc.record({ kind: fc.constantFrom('progress' as const, 'reopen' as const), index: fc.nat(200) })
const goes = fc.record({ kind: fc.constant('go' as const), index: fc.nat(200) })

function planOf(move: fc.Arbitrary<Move>): fc.Arbitrary<PlannedRun> {
  return fc.record({
    mode: fc.constantFrom('full' as const, 'incremental' as const, 'incremental' as const),
    pagesPerRun: fc.constantFrom(1, 4, 20),
    refreshMs: fc.constantFrom(0, 60_000),
    diesIn: fc.option(fc.nat(14), { nil: null, freq: 3 }),
    moves: fc.oneof(fc.constant([]), fc.array(move, { maxLength: 60 })),
    pace: fc.array(fc.nat(3), { minLength: 1, maxLength: 6 }),
  })
}

/** Longer than any job of the list is old. With the default all of them are old. */
const ALL_YOUNG_MS = 100 * 365 * 24 * 3_600_000

/** How a list loses jobs: not at all, any of them, or its oldest whenever one comes. */
type Losses = 'none' | 'any' | 'oldest'

const kinds = fc.record({
  losses: fc.constantFrom<Losses>('none', 'none', 'any', 'oldest'),
  lag: fc.constantFrom(0, 0, 1, 3),
})

const history = kinds.chain(({ losses, lag }) =>
  fc.record({
    losses: fc.constant(losses),
    lag: fc.constant(lag),
    size: fc.nat(60),
    ties: fc.array(fc.boolean(), { maxLength: 7 }),
    // With a job or two a page, what is stored may slip past a search between two versions.
    limit: lag === 0 ? fc.constantFrom(1, 2, 4, 5, 5, 10, 50) : fc.constantFrom(4, 5, 10, 10, 50),
    // Small, so that small lists reach what large ones reach: chunks, windows, slices.
    sizes: fc.constantFrom(
      SYNC_SIZES,
      { ...SYNC_SIZES, windowAnswers: 2, chunkPages: 2, minSlicePages: 2, smallPages: 1 },
      { ...SYNC_SIZES, windowAnswers: 1, chunkPages: 1, minSlicePages: 1, smallPages: 2 },
    ),
    youngMs: fc.constantFrom(TIMING.youngMs, ALL_YOUNG_MS),
    runs: fc.array(planOf(losses === 'any' ? fc.oneof(comes, changes, goes) : fc.oneof(comes, changes)), {
      minLength: 2,
      maxLength: 7,
    }),
  }),
)

/** A tie longer than a slice: a full pass once read it over and over, because it could not go on from inside it. */
const still: Omit<PlannedRun, 'mode'> = { pagesPerRun: 1, refreshMs: 0, diesIn: null, moves: [], pace: [0] }
const fullRun: PlannedRun = { mode: 'full', ...still }
const ALL_TIED = {
  youngMs: TIMING.youngMs,
  losses: 'none' as const,
  ...{ size: 60, ties: [true], sizes: SYNC_SIZES, runs: [fullRun, fullRun] },
  lag: 0 as const,
  limit: 1 as const,
}

/** The only job of a list is replaced with each answer: the check of whose list it is once left the verdict on an old one. */
const come: Move = { kind: 'come', tie: false, count: 1 }
const ALL_REPLACED = {
  youngMs: TIMING.youngMs,
  losses: 'oldest' as const,
  lag: 0 as const,
  ...{ size: 1, ties: [], limit: 2 as const },
  sizes: { ...SYNC_SIZES, windowAnswers: 1, chunkPages: 1, minSlicePages: 1, smallPages: 2 },
  runs: [
    { ...still, mode: 'incremental' as const, pace: [0, 2, 3, 2] },
    { ...fullRun, refreshMs: 60_000, diesIn: 11, moves: [come, come, come, come, come, come, come, come], pace: [1] },
    { ...still, mode: 'incremental' as const, diesIn: 9 },
    { ...fullRun, diesIn: 13, pace: [0, 1, 0, 1] },
  ],
}

/**
 * A capped list behind a lagging replica, whose pages are too short to overlap: the run after the first whole reading once
 * said complete.
 */
const plain = (moves: readonly Move[], pace: readonly number[], diesIn: number | null) => ({
  ...{ mode: 'incremental' as const, pagesPerRun: 20, refreshMs: 60_000, moves, pace, diesIn },
})
const NO_OVERLAP = {
  youngMs: TIMING.youngMs,
  losses: 'oldest' as const,
  lag: 3 as const,
  ...{ size: 51, ties: [false], limit: 4 as const },
  sizes: { ...SYNC_SIZES, windowAnswers: 2, chunkPages: 2, minSlicePages: 2, smallPages: 1 },
  runs: [
    { ...plain([], [2, 0, 3], 10), mode: 'full' as const, pagesPerRun: 4 },
    { ...plain([come], [0, 3, 1], 7), refreshMs: 0 },
    plain(
      [
        ...Array.from({ length: 4 }, (): Move => ({ ...come, tie: true })),
        ...[39, 47].map((index): Move => ({ kind: 'progress', index })),
        come,
        { kind: 'reopen', index: 37 },
        { kind: 'progress', index: 28 },
      ],
      [0, 2, 1, 1],
      null,
    ),
    { ...plain([], [2], null), pagesPerRun: 1 },
  ],
}

/** Of the two jobs that a pass has stored when it begins anew, the newer one has left the list: it is ours all the same. */
const NEWEST_GONE = {
  youngMs: TIMING.youngMs,
  losses: 'any' as const,
  lag: 0 as const,
  ...{ size: 46, ties: [true, false], limit: 1 as const },
  sizes: { ...SYNC_SIZES, windowAnswers: 1, chunkPages: 1, minSlicePages: 1, smallPages: 2 },
  runs: [
    plain(
      [
        come,
        ...[47, 102].map((index): Move => ({ kind: 'go', index })),
        { ...come, tie: true },
        { kind: 'progress', index: 153 },
        come,
        { kind: 'progress', index: 160 },
      ],
      [1, 0, 1, 1, 3],
      null,
    ),
    { ...plain([], [0], null), mode: 'full' as const },
  ],
}

/**
 * A page of new jobs comes at once and the newest stored job goes. Page 2 of a replica that lags behind was empty, so that the list
 * was once taken for another account's.
 */
const OLD_SECOND_PAGE = {
  youngMs: TIMING.youngMs,
  losses: 'any' as const,
  lag: 3 as const,
  ...{ size: 0, ties: [], limit: 5 as const },
  sizes: { ...SYNC_SIZES, windowAnswers: 1, chunkPages: 1, minSlicePages: 1, smallPages: 2 },
  runs: [
    {
      ...plain(
        [come, { ...come, tie: true }, { kind: 'reopen', index: 78 }, { kind: 'reopen', index: 140 }],
        [2, 3, 1, 0],
        0,
      ),
      mode: 'full' as const,
    },
    plain([], [2, 2, 1], 2),
    plain(
      [{ kind: 'go', index: 132 }, { kind: 'reopen', index: 78 }, come, { kind: 'progress', index: 176 }],
      [2, 3, 0, 1, 3],
      11,
    ),
    {
      ...plain(
        [
          { kind: 'come', tie: true, count: 5 },
          { kind: 'go', index: 138 },
        ],
        [2, 2],
        14,
      ),
      mode: 'full' as const,
    },
    plain([], [1, 1, 3, 3, 3, 0], null),
  ],
}

async function runOnce(
  list: MovingList,
  account: string,
  planned: PlannedRun,
  { sizes, ...timing }: { readonly sizes: SyncSizes; readonly staleAnswerMs: number; readonly youngMs: number },
): Promise<{ isWhole: boolean; mode: RunMode; result: RunResult | null }> {
  const { db } = database
  const state = await openSyncState(db, account)
  const mode = modeOf(planned.mode, state)
  // A pass that was cut off has been read in part by an earlier run.
  const isWhole = mode === 'full' && state.fullCreatedAt === null && state.bottomCreatedAt === null
  const run = await openRun(db, account)
  const { pagesPerRun, refreshMs } = planned
  try {
    const result = await runSync({
      db,
      client: list.client,
      run,
      mode,
      acceptRemovals: false,
      notesDue: false,
      onVerdict: async () => {},
      pagesPerRun,
      timing: { ...TIMING, refreshMs, ...timing },
      sizes,
      mayGo: () => true,
      windowRest: () => null,
      mustYield: () => false,
      counters: createCounters(),
      signal: new AbortController().signal,
      log: pino({ level: 'silent' }),
      onPage: () => {},
    })
    return { isWhole, mode, result }
  } catch (error) {
    if (error instanceof Died) return { isWhole, mode, result: null }
    throw error
  }
}

interface StoredJob extends ListedJob {
  readonly isRemoved: boolean
}

async function storedJobs(account: string): Promise<Map<string, StoredJob>> {
  const rows = await database.sql<StoredJob>(
    `SELECT uuid::text AS uuid, status, completed_count AS "completedCount", failed_count AS "failedCount",
       removed_at IS NOT NULL AS "isRemoved",
       to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "createdAt"
     FROM spidra.batch_jobs WHERE account = $1`,
    [account],
  )
  return new Map(rows.map((row) => [row.uuid, row]))
}

const isOpen = (job: ListedJob) => job.status === 'running'
const fieldsOf = (job: ListedJob | undefined) => job && { status: job.status, completedCount: job.completedCount }

function isDisjoint(one: readonly ListedJob[], other: readonly ListedJob[]): boolean {
  const uuids = new Set(other.map(({ uuid }) => uuid))
  return one.every(({ uuid }) => !uuids.has(uuid))
}

let accounts = 0

test('what says complete is complete, nothing listed is marked removed, and what was read is fresh, however the list moves', {
  timeout: 3_600_000,
}, async () => {
  const lagging = { runs: 0, complete: 0 }
  await fc.assert(
    fc.asyncProperty(history, async ({ losses, lag, size, ties, limit, sizes, youngMs, runs }) => {
      accounts += 1
      const account = `churn-${accounts}`
      const cap = losses === 'oldest' ? Math.max(1, size) : null
      const list = createMovingList({ name: account, size, ties, maxLimit: limit, lag, cap })
      for (const planned of runs) {
        const storedBefore = await storedJobs(account)
        list.plan(planned.moves, planned.pace, planned.diesIn)
        const listedBefore = new Map(list.jobs.map((job) => [job.uuid, job]))
        const firstVersion = Math.max(0, list.versions.length - 1 - lag)
        const staleAnswerMs = lag === 0 ? 0 : 3_600_000
        const isYoung = youngMs === ALL_YOUNG_MS
        const { isWhole, mode, result } = await runOnce(list, account, planned, { sizes, staleAnswerMs, youngMs })
        const stored = await storedJobs(account)
        const listed = new Map(list.jobs.map((job) => [job.uuid, job]))

        for (const job of stored.values())
          expect(job.isRemoved && listed.has(job.uuid), 'removed while listed').toBe(false)
        if (result === null) continue
        const versions = list.versions.slice(firstVersion)
        const live = [...stored.values()].filter((job) => !job.isRemoved).map((job) => job.uuid)
        expect(result.reason, 'one list is not two').not.toBe('two_lists')
        if (result.reason === 'mass_removal') {
          const liveBefore = [...storedBefore.values()].filter((job) => !job.isRemoved)
          const isListed = (version: readonly ListedJob[]) =>
            version.some(({ uuid }) => liveBefore.some((job) => job.uuid === uuid))
          // More than 50 that are gone, and a fifth of all, are a mass even where others are still listed.
          const gone = new Set(
            list.versions.flatMap((version) => version.map(({ uuid }) => uuid)).filter((uuid) => !listed.has(uuid)),
          )
          // Answers of two versions that share nothing are those of two accounts, as far as anybody can tell.
          const isReplaced = lag > 0 && versions.some((one) => one.length > 0 && isDisjoint(one, list.jobs))
          if (gone.size <= 50 && !isReplaced)
            expect(versions.every(isListed), 'a mass removal of a list that is ours').toBe(false)
        }
        if (lag > 0) {
          lagging.runs += 1
          if (result.status !== 'complete') continue
          lagging.complete += 1
          // Answers of different age cannot be told from one list before the first loss has shown; nor where jobs go from
          // anywhere, for one that is gone may stand in the count for another that went before.
          const { losesJobs } = await openSyncState(database.db, account)
          if (losses === 'any' || (losses === 'oldest' && !losesJobs)) continue
          const set = [...live].sort().join()
          expect(
            versions.map((version) =>
              version
                .map(({ uuid }) => uuid)
                .sort()
                .join(),
            ),
          ).toContain(set)
          continue
        }
        if (limit >= 10) {
          expect(result.reason, 'pages can overlap').not.toBe('assumption_broken')
          if (list.mostMoves < limit / 2) expect(result.reason, 'few moves break no seam').not.toBe('list_moving')
        }
        if (result.status === 'complete') {
          expect(new Set(live)).toEqual(new Set(list.lastAnswer.map((job) => job.uuid)))
          for (const job of list.lastAnswer) {
            const stoodStill =
              listedBefore.get(job.uuid) === undefined || listedBefore.get(job.uuid) === listed.get(job.uuid)
            const before = storedBefore.get(job.uuid)
            const mayChange = before === undefined || isOpen(before) || (isYoung && before.failedCount > 0)
            const isRead = isWhole || (result.openUnread === 0 && mayChange)
            const isNew = !listedBefore.has(job.uuid)
            if (isRead && stoodStill && !isNew)
              expect(fieldsOf(stored.get(job.uuid))).toEqual(fieldsOf(listed.get(job.uuid)))
          }
          continue
        }
        // A list that stands still leaves no excuse, nor one to which less than a page comes between two answers.
        const isStill = planned.moves.length === 0 && mode === 'full'
        const isReadable = losses === 'none' && list.mostMoves < Math.min(limit, SYNC_SIZES.pageLimit)
        // Pages of up to four jobs cannot overlap everywhere, nor can those of five in a list of over 60: a list that loses
        // jobs is never proved there.
        const isBlind = losses !== 'none' && (limit < 5 || (limit === 5 && list.lastAnswer.length > 60))
        if ((isStill && result.reason !== 'mass_removal' && !isBlind) || isReadable) {
          expect(result.status, JSON.stringify({ mode, ...result })).toBe('complete')
        }
      }
    }),
    {
      numRuns: HISTORIES,
      ...SEED,
      examples: [[ALL_TIED], [ALL_REPLACED], [NO_OVERLAP], [NEWEST_GONE], [OLD_SECOND_PAGE]],
      endOnFailure: process.env.CHURN_SHRINK === undefined,
    },
  )
  // A replica that lags may leave a run without a verdict, but not every one.
  expect(lagging.complete / Math.max(1, lagging.runs), JSON.stringify(lagging)).toBeGreaterThan(0.5)
})
