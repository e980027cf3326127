import { expect, test } from 'vitest'
import type { JobRow } from '../../src/db/batch-jobs.js'
import { markRemoved, mergeJobs, mergeStatement } from '../../src/db/batch-jobs.js'
import { openDatabase } from '../../src/db/client.js'
import { withRetries } from '../../src/db/retry.js'
import { finishRun, RunClosedError, type RunKey } from '../../src/db/sync-runs.js'
import { listenForEvents, openTransaction, untilBlocked } from '../support/blocking.js'
import { closeRun, jobRow, jobRows, openRun, RUN_END, uuidOf } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database

const counts = { inserted: 0, updated: 0, unchanged: 0, restored: 0, redated: 0, refused: [] }

/** `jobRow` before the change: running, 3 completed, 1 failed. */
const EVENTS: readonly { from: Partial<JobRow>; change: Partial<JobRow>; kind: string | null }[] = [
  { from: {}, change: { completedCount: 4 }, kind: 'progressed' },
  { from: {}, change: { failedCount: 0 }, kind: 'progressed' },
  { from: {}, change: { status: 'completed', completedCount: 9 }, kind: 'status_changed' },
  { from: { status: 'pending' }, change: { status: 'running' }, kind: 'status_changed' },
  { from: { status: 'completed' }, change: { status: 'failed' }, kind: 'status_changed' },
  { from: {}, change: { status: 'unheard_of' }, kind: 'status_changed' },
  { from: { status: 'completed' }, change: { status: 'running', failedCount: 0 }, kind: 'reopened' },
  { from: { status: 'failed' }, change: { status: 'pending' }, kind: 'reopened' },
  { from: { status: 'cancelled' }, change: { status: 'unheard_of' }, kind: 'reopened' },
  { from: {}, change: {}, kind: null },
  { from: {}, change: { finishedAt: '2026-03-01T13:00:00Z' }, kind: null },
  { from: {}, change: { extra: '{"a":1}' }, kind: null },
  { from: {}, change: { totalUrls: 11 }, kind: null },
  { from: {}, change: { outputFormat: 'text' }, kind: null },
]

test.each(EVENTS)('$change after $from is the event $kind', async ({ from, change, kind }) => {
  const run = await openRun(db)
  await mergeJobs(db, run, [jobRow(from), jobRow({ uuid: uuidOf(2) })])
  expect(await readEvents()).toEqual([])

  const before = jobRow(from)
  const after = { ...before, ...change }
  await mergeJobs(db, run, [after, jobRow({ uuid: uuidOf(2) })])

  expect(await readEvents()).toEqual(kind === null ? [] : [eventOf(run, kind, before, after)])
})

test('a job that returns is restored, whatever else has changed', async () => {
  const run = await openRun(db)
  await mergeJobs(db, run, jobRows(2))
  await markRemoved(db, run, [uuidOf(1), uuidOf(2)])
  await sql('DELETE FROM spidra.batch_job_events')

  const after = jobRow({ status: 'completed', completedCount: 9 })
  expect(await mergeJobs(db, run, [after, jobRow({ uuid: uuidOf(2) })])).toEqual({ ...counts, restored: 2 })

  const same = jobRow({ uuid: uuidOf(2) })
  expect(await readEvents()).toEqual([eventOf(run, 'restored', jobRow(), after), eventOf(run, 'restored', same, same)])
  expect(await sql('SELECT FROM spidra.batch_jobs WHERE removed_at IS NOT NULL')).toEqual([])
})

test('a job of another account moves to this one, with one event', async () => {
  const first = await openRun(db, 'first')
  const second = await openRun(db, 'second')
  await mergeJobs(db, first, jobRows(2))
  await markRemoved(db, first, [uuidOf(2)])
  await sql('DELETE FROM spidra.batch_job_events')

  expect(await mergeJobs(db, second, jobRows(2))).toEqual({ ...counts, updated: 1, restored: 1 })

  const moved = [1, 2].map((n) => eventOf(second, 'moved', jobRow({ uuid: uuidOf(n) }), jobRow({ uuid: uuidOf(n) })))
  expect(await readEvents()).toEqual(moved)
  expect(await sql('SELECT DISTINCT account, removed_at FROM spidra.batch_jobs')).toEqual([
    { account: 'second', removed_at: null },
  ])
})

test('listeners get the number of events once a statement, and nothing without events', async () => {
  await using listener = await listenForEvents(database)
  const run = await openRun(db)

  await mergeJobs(db, run, jobRows(3))
  await mergeJobs(db, run, jobRows(3))
  await mergeJobs(
    db,
    run,
    jobRows(3, () => ({ extra: '{}' })),
  )
  expect(await listener.heard()).toEqual([])

  await mergeJobs(
    db,
    run,
    jobRows(3, (n) => (n === 2 ? {} : { status: 'failed' })),
  )
  await mergeJobs(
    db,
    run,
    jobRows(2, () => ({ status: 'completed' })),
  )
  expect(await listener.heard()).toEqual(['2', '2'])
})

test('a closed run writes nothing, and throws', async () => {
  const run = await openRun(db)
  await mergeJobs(db, run, [jobRow()])
  await closeRun(database, run)
  const merging = mergeJobs(db, run, [jobRow({ status: 'failed' }), jobRow({ uuid: uuidOf(2) })])

  await expect(merging).rejects.toThrow(RunClosedError)
  await expect(merging).rejects.toMatchObject({ code: 'worker_lost', message: expect.stringContaining(`${run.id}`) })

  expect(await readStatuses()).toEqual(['running'])
  expect(await readEvents()).toEqual([])
})

test('a closed run resolves no rejection', async () => {
  const run = await openRun(db)
  await mergeJobs(db, run, [jobRow()])
  await sql(
    `INSERT INTO spidra.rejected_jobs (account, uuid, fingerprint, payload, reason, run_id)
     VALUES ('default', $1, 'f', '{}', 'bad', 1)`,
    [uuidOf(1)],
  )
  await closeRun(database, run)

  await expect(mergeJobs(db, run, [jobRow()])).rejects.toThrow(RunClosedError)

  expect(await sql('SELECT resolved_at FROM spidra.rejected_jobs')).toEqual([{ resolved_at: null }])
})

test('a closed run may still find that nothing changed', async () => {
  const run = await openRun(db)
  await mergeJobs(db, run, jobRows(3))
  await closeRun(database, run)

  expect(await mergeJobs(db, run, jobRows(3))).toEqual({ ...counts, unchanged: 3 })
})

test('closing a run waits for its present merge', async () => {
  const run = await openRun(db)
  await mergeJobs(db, run, [jobRow()])
  await using other = await openTransaction(database)
  await other.query('SELECT FROM spidra.batch_jobs FOR UPDATE')

  const merging = mergeJobs(db, run, [jobRow({ status: 'completed' })])
  await untilBlocked(database, 1)
  const closing = finishRun(db, run, RUN_END)
  await untilBlocked(database, 2)
  await other.commit()

  expect(await merging).toEqual({ ...counts, updated: 1 })
  expect(await closing).toBe(true)
  expect(await readStatuses()).toEqual(['completed'])
})

test('a merge waits while its run is being closed, and then writes nothing', async () => {
  const run = await openRun(db)
  await using other = await openTransaction(database)
  await other.query(`UPDATE spidra.sync_runs SET status = 'aborted'`)

  const merging = mergeJobs(db, run, [jobRow()])
  const refused = expect(merging).rejects.toThrow(RunClosedError)
  await untilBlocked(database, 1)
  await other.commit()

  await refused
  expect(await readStatuses()).toEqual([])
})

test('an uncommitted heartbeat delays a merge, but does not stop it', async () => {
  const run = await openRun(db)
  await using other = await openTransaction(database)
  await other.query('UPDATE spidra.sync_runs SET heartbeat_at = now()')

  const merging = mergeJobs(db, run, [jobRow()])
  await untilBlocked(database, 1)
  await other.commit()

  expect(await merging).toEqual({ ...counts, inserted: 1 })
})

test('two merges of the same jobs in opposite order do not deadlock', async () => {
  await using rival = { db: openDatabase(database.url), [Symbol.asyncDispose]: () => rival.db.$disconnect() }
  const run = await openRun(db)
  const rows = (completedCount: number) => jobRows(200, () => ({ completedCount }))
  await mergeJobs(db, run, rows(1))

  for (let round = 1; round <= 40; round += 1) {
    const outcomes = await Promise.all([
      mergeJobs(db, run, rows(2 * round)),
      mergeJobs(rival.db, run, rows(2 * round + 1).reverse()),
    ])
    expect(outcomes.map(({ refused }) => refused)).toEqual([[], []])
  }

  expect(await sql('SELECT count(*)::integer AS stored FROM spidra.batch_jobs')).toEqual([{ stored: 200 }])
})

test('a job that another account stores at the same moment moves to the one that comes later', async () => {
  const run = await openRun(db)
  const retrying = withRetries(db, { signal: new AbortController().signal })
  await using other = await openTransaction(database)
  const { text, values } = mergeStatement(JSON.stringify([jobRow()]), await openRun(db, 'first'))
  await other.query(text, values)

  const merging = mergeJobs(retrying, run, jobRows(2))
  await untilBlocked(database, 1)
  await other.commit()

  expect(await merging).toEqual({ ...counts, inserted: 1, updated: 1 })
  expect(await sql('SELECT DISTINCT account FROM spidra.batch_jobs')).toEqual([{ account: 'default' }])
})

test.each([false, true])(
  'the plan of a table that was empty looks each job up by its key, notesDue %s',
  async (notesDue) => {
    const run = await openRun(db)
    const rows = jobRows(3_000, () => ({ status: 'completed' }))
    for (let from = 0; from < rows.length; from += 100) {
      await mergeJobs(db, run, rows.slice(from, from + 100), { notesDue })
    }

    const [kept] = await db.$queryRaw<{ call: string; reused: number }[]>`
    SELECT name || '(' || array_to_string(array_fill('NULL'::text, ARRAY[cardinality(parameter_types)]), ', ') || ')' AS call,
      generic_plans::integer AS reused
    FROM pg_prepared_statements WHERE name LIKE 'spidra_sync%' ORDER BY prepare_time DESC LIMIT 1`
    expect(kept?.reused).toBeGreaterThan(10)
    const plan = await db.$queryRawUnsafe<{ 'QUERY PLAN': string }[]>(`EXPLAIN EXECUTE ${kept?.call}`)
    const lines = plan.map((line) => line['QUERY PLAN'])
    expect(lines.join('\n')).toContain('Index Scan using batch_jobs_pkey')
    expect(lines.filter((line) => /Seq Scan on batch_(jobs|reads)/.test(line))).toEqual([])
  },
)

function eventOf(run: RunKey, kind: string, from: JobRow, to: JobRow) {
  return {
    uuid: to.uuid,
    account: run.account,
    runId: `${run.id}`,
    kind,
    fromStatus: from.status,
    toStatus: to.status,
    completed: [from.completedCount, to.completedCount],
    failed: [from.failedCount, to.failedCount],
  }
}

function readEvents() {
  return sql(`
    SELECT uuid, account, run_id AS "runId", kind, from_status AS "fromStatus", to_status AS "toStatus",
      ARRAY[from_completed_count, to_completed_count] AS completed, ARRAY[from_failed_count, to_failed_count] AS failed
    FROM spidra.batch_job_events ORDER BY id`)
}

async function readStatuses() {
  return (await sql<{ status: string }>('SELECT status FROM spidra.batch_jobs ORDER BY uuid')).map((row) => row.status)
}
