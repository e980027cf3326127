import { array, assert, asyncProperty, constantFrom, oneof, record } from 'fast-check'
import { expect, test } from 'vitest'
import type { JobRow } from '../../src/db/batch-jobs.js'
import { type MergeCounts, markRemoved, mergeJobs } from '../../src/db/batch-jobs.js'
import type { RunKey } from '../../src/db/sync-runs.js'
import { RunClosedError } from '../../src/db/sync-runs.js'
import { jobRow, openRun, readJobs, type StoredJob, uuidOf } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database

/** The table as a map. A job is replaced by another object when, and only when, its row is to be written. */
type Model = Map<string, StoredJob>

interface Step {
  readonly verb: 'merge' | 'remove'
  readonly account: 'ada' | 'bob'
  readonly runStatus: 'running' | 'aborted'
  readonly rows: readonly JobRow[]
}

interface Outcome {
  readonly result: number | 'closed' | (MergeCounts & { readonly refused: readonly string[] })
  readonly events: readonly Event[]
}

interface Event {
  readonly uuid: string
  readonly account: string
  readonly kind: string
  readonly change: string
}

const YEAR_ZERO = '0000-01-01T00:00:00Z'

const uuid = constantFrom(...[1, 2, 3, 4, 5].map(uuidOf))
const anyRow = record({
  uuid,
  status: constantFrom('running', 'completed', 'odd'),
  completedCount: constantFrom(3, 4),
  createdAt: constantFrom('2026-03-01T12:00:00.123456Z', '2026-03-01T12:00:00.123457Z', YEAR_ZERO),
  finishedAt: constantFrom(null, '2026-03-01T13:00:00.000000Z'),
  extra: constantFrom(null, '{"a": 1}'),
}).map(jobRow)
/** Mostly the same job again, so that unchanged reads are common. */
const row = oneof({ weight: 3, arbitrary: record({ uuid }).map(jobRow) }, { weight: 1, arbitrary: anyRow })
const step = record<Step>({
  verb: constantFrom('merge', 'merge', 'remove'),
  account: constantFrom('ada', 'ada', 'bob'),
  runStatus: constantFrom('running', 'running', 'running', 'aborted'),
  rows: array(row, { maxLength: 8 }),
})

test('agrees with a map, job by job: the table, the events, the counts, and which rows are touched', async () => {
  await assert(
    asyncProperty(array(step, { maxLength: 8 }), async (steps) => {
      await sql('TRUNCATE spidra.batch_jobs, spidra.batch_job_events')
      const runs = { ada: await openRun(db, 'ada'), bob: await openRun(db, 'bob') }
      const model: Model = new Map()
      for (const step of steps) {
        const run = runs[step.account]
        await sql('UPDATE spidra.sync_runs SET status = $2 WHERE id = $1', [run.id, step.runStatus])
        const versions = await readVersions()
        const before = new Map(model)

        const result = await take(run, step)
        const expected = step.verb === 'merge' ? mergeInto(model, step) : removeFrom(model, step)

        expect({ result, events: await takeEvents() }).toEqual(expected)
        expect(await readJobs(database)).toEqual(inOrder(model))
        const touched = inOrder(model).filter((job) => before.get(job.uuid) !== job)
        const versionsNow = await readVersions()
        expect([...versionsNow.keys()].filter((uuid) => versionsNow.get(uuid) !== versions.get(uuid))).toEqual(
          touched.map((job) => job.uuid),
        )
      }
    }),
    { numRuns: 30 },
  )
})

async function take(run: RunKey, { verb, rows }: Step): Promise<Outcome['result']> {
  const uuids = rows.map((row) => row.uuid)
  if (verb === 'remove') return markRemoved(db, run, uuids)
  try {
    const { refused, ...counts } = await mergeJobs(db, run, rows)
    return { ...counts, refused: refused.map(({ row }) => row.uuid).sort() }
  } catch (error) {
    expect(error).toBeInstanceOf(RunClosedError)
    return 'closed'
  }
}

function mergeInto(model: Model, { account, runStatus, rows }: Step): Outcome {
  const counts = { inserted: 0, updated: 0, unchanged: 0, restored: 0, redated: 0 }
  const events: Event[] = []
  const latest = [...new Map(rows.map((row) => [row.uuid, row])).values()].sort(byUuid)
  const refused = latest.filter((row) => row.createdAt === YEAR_ZERO).map((row) => row.uuid)
  const changed: StoredJob[] = []
  for (const row of latest.filter((row) => row.createdAt !== YEAR_ZERO)) {
    const old = model.get(row.uuid)
    const job = { ...row, account, isRemoved: false }
    const outcome = outcomeOf(old, job)
    counts[outcome] += 1
    if (outcome === 'updated' && old?.createdAt !== job.createdAt) counts.redated += 1
    if (outcome !== 'unchanged') changed.push(job)
    const kind = old && kindOf(old, job)
    if (old && kind) events.push(eventOf(kind, old, job))
  }
  if (runStatus === 'aborted' && changed.length > 0) return { result: 'closed', events: [] }
  for (const job of changed) model.set(job.uuid, job)
  return { result: { ...counts, refused }, events }
}

function outcomeOf(old: StoredJob | undefined, job: StoredJob): Exclude<keyof MergeCounts, 'redated'> {
  if (old === undefined) return 'inserted'
  if (old.isRemoved) return 'restored'
  const keys = Object.keys(job) as (keyof StoredJob)[]
  return keys.every((key) => old[key] === job[key]) ? 'unchanged' : 'updated'
}

function kindOf(old: StoredJob, job: StoredJob): string | null {
  if (old.account !== job.account) return 'moved'
  if (old.isRemoved) return 'restored'
  if (old.status === 'completed' && job.status !== 'completed') return 'reopened'
  if (old.status !== job.status) return 'status_changed'
  return old.completedCount === job.completedCount ? null : 'progressed'
}

function removeFrom(model: Model, { account, runStatus, rows }: Step): Outcome {
  const uuids = new Set(rows.map((row) => row.uuid))
  const gone = inOrder(model).filter((job) => uuids.has(job.uuid) && job.account === account && !job.isRemoved)
  if (runStatus === 'aborted') return { result: 0, events: [] }
  for (const job of gone) model.set(job.uuid, { ...job, isRemoved: true })
  return { result: gone.length, events: gone.map((job) => eventOf('removed', job, job)) }
}

function eventOf(kind: string, from: StoredJob, to: StoredJob): Event {
  const [before, after] = [from, to].map((job) => `${job.status} ${job.completedCount} ${job.failedCount}`)
  return { uuid: to.uuid, account: to.account, kind, change: `${before} -> ${after}` }
}

function inOrder(model: Model): StoredJob[] {
  return [...model.values()].sort(byUuid)
}

function byUuid(one: JobRow, other: JobRow): number {
  return one.uuid < other.uuid ? -1 : 1
}

/** The transaction that last wrote each row, and the one that last locked it. */
async function readVersions(): Promise<Map<string, string>> {
  const rows = await sql<{ uuid: string; version: string }>(
    `SELECT uuid, xmin || ' ' || xmax AS version FROM spidra.batch_jobs ORDER BY uuid`,
  )
  return new Map(rows.map(({ uuid, version }) => [uuid, version]))
}

/** The events since the last call. */
function takeEvents(): Promise<Event[]> {
  return sql<Event>(`
    WITH taken AS (DELETE FROM spidra.batch_job_events RETURNING *)
    SELECT uuid, account, kind, concat(from_status, ' ', from_completed_count, ' ', from_failed_count, ' -> ',
      to_status, ' ', to_completed_count, ' ', to_failed_count) AS change
    FROM taken ORDER BY uuid, id`)
}
