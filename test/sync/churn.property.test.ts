import fc from 'fast-check'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startRun } from '../../src/db/sync-runs.js'
import { openSyncState } from '../../src/db/sync-state.js'
import { SYNC_SIZES, TIMING } from '../../src/scale.js'
import { createCounters } from '../../src/sync/counters.js'
import { modeOf } from '../../src/sync/plan.js'
import type { RunMode } from '../../src/sync/run-summary.js'
import { type RunResult, runSync } from '../../src/sync/run-sync.js'
import { createMovingList, Died, type ListedJob, type Move, type MovingList } from '../support/moving-list.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

/** `npm run check` tries 200 histories, `npm run torture` 5,000. */
const HISTORIES = Number(process.env.CHURN_HISTORIES ?? 200)
const SEED = process.env.CHURN_SEED === undefined ? {} : { seed: Number(process.env.CHURN_SEED) }

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

const comes = fc.record({ kind: fc.constant('come' as const), tie: fc.boolean() })
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

const history = fc.boolean().chain((hasRemovals) =>
  fc.record({
    hasRemovals: fc.constant(hasRemovals),
    size: fc.nat(60),
    ties: fc.array(fc.boolean(), { maxLength: 7 }),
    limit: fc.constantFrom(1, 2, 4, 5, 5, 10, 50),
    runs: fc.array(planOf(hasRemovals ? fc.oneof(comes, changes, goes) : fc.oneof(comes, changes)), {
      minLength: 2,
      maxLength: 7,
    }),
  }),
)

/** A tie longer than a slice: a full pass once read it over and over, because it could not go on from inside it. */
const still: Omit<PlannedRun, 'mode'> = {
  pagesPerRun: 1,
  refreshMs: 0,
  diesIn: null,
  moves: [],
  pace: [0],
}
const fullRun: PlannedRun = { mode: 'full', ...still }
const ALL_TIED = { hasRemovals: false, size: 60, ties: [true], limit: 1, runs: [fullRun, fullRun] }

async function runOnce(
  list: MovingList,
  account: string,
  planned: PlannedRun,
): Promise<{ isWhole: boolean; mode: RunMode; result: RunResult | null }> {
  const { db } = database
  const state = await openSyncState(db, account)
  const mode = modeOf(planned.mode, state)
  // A pass that was cut off has been read in part by an earlier run.
  const isWhole = mode === 'full' && state.fullCreatedAt === null && state.bottomCreatedAt === null
  const run = await startRun(db, { account, mode, trigger: 'manual', worker: 'test:1' })
  const { pagesPerRun, refreshMs } = planned
  try {
    const result = await runSync({
      db,
      client: list.client,
      run,
      mode,
      asked: planned.mode,
      pagesPerRun,
      timing: { ...TIMING, refreshMs },
      sizes: SYNC_SIZES,
      mayGo: () => true,
      mustHandOn: () => false,
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
    `SELECT uuid::text AS uuid, status, completed_count AS "completedCount", removed_at IS NOT NULL AS "isRemoved",
       to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "createdAt"
     FROM spidra.batch_jobs WHERE account = $1`,
    [account],
  )
  return new Map(rows.map((row) => [row.uuid, row]))
}

const isOpen = (job: ListedJob) => job.status === 'running'
const fieldsOf = (job: ListedJob | undefined) => job && { status: job.status, completedCount: job.completedCount }

let accounts = 0

test('what says complete is complete, nothing listed is marked removed, and what was read is fresh, however the list moves', {
  timeout: 3_600_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(history, async ({ hasRemovals, size, ties, limit, runs }) => {
      accounts += 1
      const account = `churn-${accounts}`
      const list = createMovingList(account, size, ties, limit)
      for (const planned of runs) {
        const storedBefore = await storedJobs(account)
        const listedBefore = new Map(list.jobs.map((job) => [job.uuid, job]))
        list.plan(planned.moves, planned.pace, planned.diesIn)
        const { isWhole, mode, result } = await runOnce(list, account, planned)
        const stored = await storedJobs(account)
        const listed = new Map(list.jobs.map((job) => [job.uuid, job]))

        for (const job of stored.values())
          expect(job.isRemoved && listed.has(job.uuid), 'removed while listed').toBe(false)
        if (result === null) continue
        const live = [...stored.values()].filter((job) => !job.isRemoved)
        if (result.status === 'complete') {
          expect(new Set(live.map((job) => job.uuid))).toEqual(new Set(list.lastAnswer.map((job) => job.uuid)))
          for (const job of list.lastAnswer) {
            const stoodStill =
              listedBefore.get(job.uuid) === undefined || listedBefore.get(job.uuid) === listed.get(job.uuid)
            const before = storedBefore.get(job.uuid)
            const isRead = isWhole || (result.openUnread === 0 && (before === undefined || isOpen(before)))
            const isNew = !listedBefore.has(job.uuid)
            if (isRead && stoodStill && !isNew)
              expect(fieldsOf(stored.get(job.uuid))).toEqual(fieldsOf(listed.get(job.uuid)))
          }
        }
        // A list that stands still leaves no excuse, nor one to which jobs only come.
        const isStill = planned.moves.length === 0 && mode === 'full'
        if ((isStill || !hasRemovals) && result.reason !== 'mass_removal') {
          expect(result.status, JSON.stringify({ mode, ...result })).toBe('complete')
        }
      }
    }),
    { numRuns: HISTORIES, ...SEED, examples: [[ALL_TIED]] },
  )
})
