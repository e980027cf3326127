import { expect, test } from 'vitest'
import type { JobRow } from '../../src/db/batch-jobs.js'
import { mergeJobs, mergeStatement } from '../../src/db/batch-jobs.js'
import { type Database, withLargeQueries } from '../../src/db/client.js'
import { readPostgresError } from '../../src/db/connection-error.js'
import { Prisma } from '../../src/db/generated/client.js'
import { keepRejectedJobs } from '../../src/db/rejected-jobs.js'
import type { RunKey } from '../../src/db/sync-runs.js'
import { openTransaction, untilBlocked } from '../support/blocking.js'
import { closeRun, jobRow, jobRows, openRun, readJobs, uuidOf } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

const database = await shareTestDatabase()

const NOTHING = { inserted: 0, updated: 0, unchanged: 0, restored: 0, redated: 0, refused: [] }

const NESTED = '['.repeat(100_000) + ']'.repeat(100_000)

test('stores every value exactly', async () => {
  const run = await openRun(database.db)
  const plain = jobRow()
  const odd = jobRow({
    uuid: uuidOf(2),
    status: 'paused: Zürich 🕷',
    totalUrls: 2_147_483_647,
    completedCount: 0,
    failedCount: 0,
    outputFormat: null,
    scrapingChannel: null,
    createdAt: '2026-03-01T00:30:00.000001+05:30',
    finishedAt: '2026-03-01T23:59:59.9999999-08:00',
    extra: '{"z":{"a":[1,null,{"deep":"\\u00e9"}]},"big":123456789012345678901234567890.12345,"quote":"\\"\\\\"}',
  })

  expect(await mergeJobs(database.db, run, [plain, odd])).toEqual({ ...NOTHING, inserted: 2 })

  const [first, second] = await readJobs(database)
  expect(first).toEqual({ ...plain, account: 'default', isRemoved: false })
  expect(second).toEqual({
    ...odd,
    createdAt: '2026-02-28T19:00:00.000001Z',
    finishedAt: '2026-03-02T08:00:00.000000Z',
    extra: '{"z": {"a": [1, null, {"deep": "é"}]}, "big": 123456789012345678901234567890.12345, "quote": "\\"\\\\"}',
    account: 'default',
    isRemoved: false,
  })
})

test('sends only the columns, and no other property of the rows', async () => {
  const run = await openRun(database.db)
  const circular: { itself?: object } = {}
  circular.itself = circular

  await mergeJobs(database.db, run, [{ ...jobRow(), item: circular }])

  expect(await readJobs(database)).toMatchObject([{ uuid: uuidOf(1), extra: null }])
})

test('does not touch an unchanged row: no WAL, no new version, no lock on the row or the run', async () => {
  await using database = await createTestDatabase()
  const run = await openRun(database.db)
  const rows = jobRows(1_000, (n) => ({ extra: `{"n":${n}}` }))
  await mergeJobs(database.db, run, rows)
  // Hint bits are written by the first reader; on a server with data checksums they would be WAL too.
  await database.sql('VACUUM (ANALYZE)')
  const before = await readVersions(database)

  const outcome = await mergeJobs(database.db, run, rows.toReversed())

  expect(outcome).toEqual({ ...NOTHING, unchanged: 1_000 })
  expect(await readVersions(database)).toEqual(before)
  expect(await measureWalBytes(database.db, run, rows)).toBe(0)
  expect(await measureWalBytes(database.db, run, [jobRow({ status: 'failed' })])).toBeGreaterThan(0)
})

const CHANGES: readonly Partial<JobRow>[] = [
  { status: 'cancelled' },
  { totalUrls: 11 },
  { completedCount: 4 },
  { failedCount: 0 },
  { outputFormat: 'markdown' },
  { outputFormat: null },
  { scrapingChannel: 'playground' },
  { scrapingChannel: null },
  { createdAt: '2026-03-01T12:00:00.123457Z' },
  { finishedAt: '2026-03-01T13:00:00.000000Z' },
  { extra: '{"note": "new"}' },
  { extra: 'null' },
]

test.each(CHANGES)('a change of %j alone is an update', async (change) => {
  const run = await openRun(database.db)
  await mergeJobs(database.db, run, [jobRow(), jobRow({ uuid: uuidOf(2) })])
  await database.sql(`UPDATE spidra.batch_jobs SET first_seen_at = '2020-01-01Z', updated_at = '2020-01-01Z'`)

  const outcome = await mergeJobs(database.db, run, [jobRow(change), jobRow({ uuid: uuidOf(2) })])

  const redated = 'createdAt' in change ? 1 : 0
  expect(outcome).toEqual({ ...NOTHING, updated: 1, unchanged: 1, redated })
  expect(await readJobs(database)).toMatchObject([change, jobRow({ uuid: uuidOf(2) })])
  expect(
    await database.sql(`
      SELECT first_seen_at = '2020-01-01Z' AS "firstSeenStays", updated_at > '2020-01-01Z' AS moves
      FROM spidra.batch_jobs ORDER BY uuid`),
  ).toEqual([
    { firstSeenStays: true, moves: true },
    { firstSeenStays: true, moves: false },
  ])
})

test('the same instant and the same JSON in another notation are no change', async () => {
  const run = await openRun(database.db)
  await mergeJobs(database.db, run, [jobRow({ extra: '{"a":1,"b":[2]}' })])

  const outcome = await mergeJobs(database.db, run, [
    jobRow({ createdAt: '2026-03-01T13:00:00.123456+01:00', extra: ' {"b": [2], "a": 1.0}' }),
  ])

  expect(outcome).toEqual({ ...NOTHING, unchanged: 1 })
})

test('of two rows with one uuid the last counts', async () => {
  const run = await openRun(database.db)

  const outcome = await mergeJobs(database.db, run, [
    jobRow({ status: 'pending' }),
    jobRow({ uuid: uuidOf(2) }),
    jobRow({ status: 'completed' }),
  ])

  expect(outcome).toEqual({ ...NOTHING, inserted: 2 })
  expect(await readJobs(database)).toMatchObject([{ status: 'completed' }, { status: 'running' }])
})

test('no statement is sent for no rows', async () => {
  const run = await openRun(database.db)
  await closeRun(database, run)

  await expect(mergeJobs(database.db, run, [])).resolves.toEqual(NOTHING)
})

const GUILTY: readonly { what: string; row: Partial<JobRow>; sqlState: string }[] = [
  { what: 'the year 0', row: { createdAt: '0000-01-01T00:00:00Z' }, sqlState: '22008' },
  { what: 'a year after the last one of Postgres', row: { finishedAt: '294277-01-01T00:00:00Z' }, sqlState: '22008' },
  { what: 'no date at all', row: { createdAt: 'soon' }, sqlState: '22007' },
  { what: 'NUL in extra', row: { extra: '{"a":"\\u0000"}' }, sqlState: '22P05' },
  { what: 'a lone surrogate in extra', row: { extra: '{"a":"\\ud800"}' }, sqlState: '22P02' },
  { what: 'a number out of range in extra', row: { extra: '{"a":1e200000}' }, sqlState: '22003' },
  { what: 'JSON nested 100,000 deep', row: { extra: NESTED }, sqlState: '54001' },
  { what: 'NUL in a text', row: { status: 'a\0b' }, sqlState: '22P05' },
  { what: 'a lone surrogate in a text', row: { status: 'a\ud800b' }, sqlState: '22P02' },
  { what: 'a count above integer', row: { totalUrls: 2_147_483_648 }, sqlState: '22003' },
]

test.each(GUILTY)('refuses $what, and merges the others', async ({ row, sqlState }) => {
  const run = await openRun(database.db)
  const rows = jobRows(4, (n) => (n === 3 ? row : {}))

  const { refused, ...counts } = await mergeJobs(database.db, run, rows)

  expect(counts).toEqual({ inserted: 3, updated: 0, unchanged: 0, restored: 0, redated: 0 })
  expect(refused).toEqual([
    { row: rows[2], reason: expect.stringMatching(`^Postgres refused it \\(SQLSTATE ${sqlState}\\): .+`) },
  ])
  expect((await readJobs(database)).map(({ uuid }) => uuid)).toEqual([uuidOf(1), uuidOf(2), uuidOf(4)])
})

test('finds several refused rows among 1,000 in O(k log n) statements', async () => {
  const run = await openRun(database.db)
  const guilty = new Set([1, 2, 500, 777, 1_000])
  const rows = jobRows(1_000, (n) => (guilty.has(n) ? { createdAt: '0000-01-01T00:00:00Z' } : {}))
  const counted = countStatements(database.db)

  const { refused, ...counts } = await mergeJobs(counted.db, run, rows)

  expect(counts).toEqual({ inserted: 995, updated: 0, unchanged: 0, restored: 0, redated: 0 })
  expect(refused.map(({ row }) => row.uuid)).toEqual([...guilty].map(uuidOf))
  expect(counted.statements()).toBeLessThanOrEqual(1 + 2 * guilty.size * Math.ceil(Math.log2(1_000)))
})

test('adds up the counts of all halves of a refused chunk', async () => {
  const run = await openRun(database.db)
  await mergeJobs(database.db, run, jobRows(3))

  const { refused, ...counts } = await mergeJobs(
    database.db,
    run,
    jobRows(5, (n) => ({ status: n === 2 ? 'failed' : 'running', extra: n === 4 ? NESTED : null })),
  )

  expect(counts).toEqual({ inserted: 1, updated: 1, unchanged: 2, restored: 0, redated: 0 })
  expect(refused).toHaveLength(1)
})

test('throws an error that no row causes', async () => {
  await using database = await createTestDatabase()
  const run = await openRun(database.db)
  const counted = countStatements(database.db)
  await database.sql('ALTER TABLE spidra.batch_jobs RENAME TO elsewhere')

  const error = await mergeJobs(counted.db, run, jobRows(8)).catch((thrown: unknown) => thrown)

  expect(readPostgresError(error)?.code).toBe('42P01')
  expect(counted.statements()).toBe(1)
})

test('throws when the connection is lost, and writes nothing', async () => {
  const run = await openRun(database.db)
  const counted = countStatements(database.db)
  await mergeJobs(database.db, run, [jobRow()])
  await using other = await openTransaction(database)
  await other.query('SELECT FROM spidra.batch_jobs FOR UPDATE')

  const merging = mergeJobs(
    counted.db,
    run,
    jobRows(8, () => ({ status: 'completed' })),
  ).catch((thrown: unknown) => thrown)
  await untilBlocked(database, 1)
  await database.sql(`
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'`)

  expect(readPostgresError(await merging)?.code).toBe('57P01')
  expect(counted.statements()).toBe(1)
  await other.commit()
  expect(await readJobs(database)).toMatchObject([{ uuid: uuidOf(1), status: 'running' }])
})

test('resolves the open rejection of a job in the statement that stores it', async () => {
  const other = await openRun(database.db, 'other')
  const run = await openRun(database.db)
  for (const owner of [other, run]) {
    const rejection = { payload: '{}', reason: 'bad', fingerprint: 'f', copies: 1 }
    await keepRejectedJobs(
      database.db,
      owner,
      [1, 2].map((n) => ({ ...rejection, uuid: uuidOf(n) })),
    )
  }

  expect(await mergeJobs(database.db, run, [jobRow()])).toEqual({ ...NOTHING, inserted: 1 })

  expect(
    await database.sql(`
      SELECT r.account, r.uuid, r.resolved_at IS NOT NULL AS resolved, r.xmin = b.xmin AS "sameTransaction"
      FROM spidra.rejected_jobs r CROSS JOIN spidra.batch_jobs b ORDER BY r.account, r.uuid`),
  ).toEqual([
    { account: 'default', uuid: uuidOf(1), resolved: true, sameTransaction: true },
    { account: 'default', uuid: uuidOf(2), resolved: false, sameTransaction: false },
    { account: 'other', uuid: uuidOf(1), resolved: false, sameTransaction: false },
    { account: 'other', uuid: uuidOf(2), resolved: false, sameTransaction: false },
  ])
})

test('resolves the rejection of a job that is listed again as it is stored', async () => {
  const run = await openRun(database.db)
  await mergeJobs(database.db, run, [jobRow()])
  await keepRejectedJobs(database.db, run, [
    { uuid: uuidOf(1), payload: '{}', reason: 'bad', fingerprint: 'f', copies: 1 },
  ])

  expect(await mergeJobs(database.db, run, [jobRow()])).toEqual({ ...NOTHING, unchanged: 1 })

  expect(await database.sql('SELECT resolved_at IS NOT NULL AS resolved FROM spidra.rejected_jobs')).toEqual([
    { resolved: true },
  ])
})

/** Where each row lies, who wrote it and who locked it. */
async function readVersions({ sql }: TestDatabase) {
  return sql(`
    SELECT uuid::text AS key, ctid, xmin, xmax FROM spidra.batch_jobs
    UNION ALL SELECT id::text, ctid, xmin, xmax FROM spidra.sync_runs ORDER BY key`)
}

/** WAL of one merge, as Postgres counts it for that statement alone. */
async function measureWalBytes(db: Database, run: RunKey, rows: readonly JobRow[]): Promise<number> {
  const statement = mergeStatement(JSON.stringify(rows), run)
  const [row] = await db.$queryRaw<{ 'QUERY PLAN': [{ Plan: { 'WAL Bytes': number } }] }[]>(
    Prisma.sql`EXPLAIN (ANALYZE, WAL, FORMAT JSON) ${statement}`,
  )
  return row?.['QUERY PLAN'][0].Plan['WAL Bytes'] ?? Number.NaN
}

/** The same connections, with every statement counted. */
function countStatements(db: Database) {
  let count = 0
  const counting = db.$extends({
    query: {
      $allOperations({ args, query }) {
        count += 1
        return query(args)
      },
    },
  })
  const handle = withLargeQueries(counting as unknown as Database, db, (run) => {
    count += 1
    return run()
  })
  return { db: handle, statements: () => count }
}

test('names the table of due results only where it is asked to note them', async () => {
  const run = { id: 1n, account: 'default' }
  expect(mergeStatement('[]', run).sql).not.toContain('results_due')
  expect(mergeStatement('[]', run, true).sql).toContain('results_due')
})
