import { expect, test } from 'vitest'
import { mergeJobs } from '../../src/db/batch-jobs.js'
import { refreshDailyTotals } from '../../src/db/housekeeping.js'
import { migrate } from '../../src/db/migrate.js'
import { grantReader } from '../../src/db/reader-role.js'
import { openSyncState } from '../../src/db/sync-state.js'
import { createCliDatabase } from '../support/cli-database.js'
import { jobRow, jobRows, openRun, uuidOf } from '../support/job-rows.js'
import { createReader } from '../support/reader.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

const VIEWS = [
  'batch_items',
  'batch_jobs',
  'batch_reads',
  'daily_batch_jobs',
  'daily_credits',
  'failing_hosts',
  'open_batch_jobs',
  'rejected_items',
  'removed_batch_jobs',
  'request_budget',
  'status_changes',
  'stuck_batch_jobs',
  'sync_alerts',
  'sync_freshness',
  'sync_run_history',
]

/** Something to be seen in every view, days kept and stale. */
async function fill({ db, sql }: TestDatabase) {
  const run = await openRun(db)
  await openSyncState(db, 'default')
  await mergeJobs(db, run, jobRows(3))
  await refreshDailyTotals(db, 'default')
  await mergeJobs(db, run, [
    jobRow({ uuid: uuidOf(2), status: 'completed' }),
    jobRow({ uuid: uuidOf(9), createdAt: '2026-03-02T00:00:00Z' }),
  ])
  await sql(
    `UPDATE spidra.batch_jobs SET created_at = created_at + interval '1 day', first_seen_at = '2026-03-03Z',
    updated_at = '2026-03-03Z' WHERE uuid = $1`,
    [uuidOf(9)],
  )
}

test('a reader sees in every view what its owner sees, without a right on schema spidra', async () => {
  await using database = await createTestDatabase()
  await fill(database)
  await using reader = await createReader(database)

  const rights = await grantReader(database.url, reader.name)

  expect(rights).toEqual({
    ...{ views: VIEWS, database: database.name, mayConnect: true },
    ...{ readsResults: false, readsTables: false },
  })
  // Seconds pass between the two: only what does not depend on now.
  const stable = `SELECT (SELECT count(*) FROM spidra_reporting.batch_jobs)::integer AS jobs,
    (SELECT json_agg(d) FROM (SELECT * FROM spidra_reporting.daily_batch_jobs WHERE jobs > 0 ORDER BY day) d) AS days,
    (SELECT json_agg(uuid) FROM spidra_reporting.open_batch_jobs) AS open,
    (SELECT json_agg(uuid) FROM spidra_reporting.stuck_batch_jobs) AS stuck,
    (SELECT json_agg(c) FROM spidra_reporting.status_changes c) AS changes,
    (SELECT count(*) FROM spidra_reporting.sync_freshness)::integer AS accounts,
    (SELECT count(*) FROM spidra_reporting.sync_run_history)::integer AS runs`
  const [seen] = await reader.query(stable)
  expect(seen).toEqual((await database.sql(stable))[0])
  expect(seen).toMatchObject({
    jobs: 4,
    accounts: 1,
    runs: 1,
    stuck: [uuidOf(9)],
    changes: [{ to_status: 'completed' }],
  })
  expect(await database.sql('SELECT count(*)::integer AS stale FROM spidra.stale_days')).toEqual([{ stale: 3 }])
})

test('a reader can neither write, nor read or call anything in schema spidra, nor create anything', async () => {
  await using database = await createTestDatabase()
  await fill(database)
  await using reader = await createReader(database)
  await grantReader(database.url, reader.name)

  const relations = await database.sql<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relnamespace = 'spidra'::regnamespace AND relkind IN ('r', 'v')`,
  )
  expect(relations.length).toBeGreaterThanOrEqual(8)
  const forbidden = [
    ...relations.map(({ name }) => `SELECT FROM spidra.${name}`),
    `SELECT spidra.keep_stale_days('default')`,
    'DELETE FROM spidra_reporting.sync_run_history',
    'UPDATE spidra_reporting.sync_run_history SET worker = NULL',
    `INSERT INTO spidra_reporting.sync_run_history (account) VALUES ('mine')`,
    'CREATE VIEW spidra_reporting.mine AS SELECT 1',
    'CREATE TABLE spidra.mine ()',
    'TRUNCATE spidra_reporting.batch_jobs',
  ]
  for (const text of forbidden)
    await expect(reader.query(text), text).rejects.toMatchObject({ code: expect.stringMatching(/^(42501|42809)$/) })
  const [rights] = await database.sql(
    `SELECT count(*)::integer AS writable, has_schema_privilege($1, 'spidra', 'USAGE') AS "seesTables" FROM pg_class c,
       unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES']) AS kind
     WHERE c.relnamespace IN ('spidra'::regnamespace, 'spidra_reporting'::regnamespace) AND c.relkind IN ('r', 'v')
       AND has_table_privilege($1, c.oid, kind)`,
    [reader.name],
  )
  expect(rights).toEqual({ writable: 0, seesTables: false })
})

test('a reader with results reads them too, joined to the view of items, and no other table', async () => {
  await using database = await createTestDatabase()
  await fill(database)
  await database.sql(`
    INSERT INTO spidra.batch_items (uuid, batch_uuid, account, position, url, status)
    VALUES ('${uuidOf(5)}', '${uuidOf(1)}', 'default', 0, 'https://a.example/', 'completed');
    INSERT INTO spidra.batch_results (item_uuid, result, bytes) VALUES ('${uuidOf(5)}', '{"title":"A"}', 13)`)
  await using reader = await createReader(database)
  const asked = `SELECT i.url, r.result FROM spidra_reporting.batch_items i JOIN spidra.batch_results r ON r.item_uuid = i.uuid`
  await grantReader(database.url, reader.name)
  await expect(reader.query(asked)).rejects.toMatchObject({ code: '42501' })

  const rights = await grantReader(database.url, reader.name, { withResults: true })

  expect(rights).toMatchObject({ views: VIEWS, readsResults: true, readsTables: false })
  expect(await reader.query(asked)).toEqual([{ url: 'https://a.example/', result: { title: 'A' } }])
  const relations = await database.sql<{ name: string }>(
    `SELECT relname AS name FROM pg_class
     WHERE relnamespace = 'spidra'::regnamespace AND relkind IN ('r', 'v') AND relname <> 'batch_results'`,
  )
  const forbidden = [
    ...relations.map(({ name }) => `SELECT FROM spidra.${name}`),
    `SELECT spidra.keep_stale_days('default')`,
    'DELETE FROM spidra.batch_results',
    'CREATE TABLE spidra.mine ()',
  ]
  for (const text of forbidden) await expect(reader.query(text), text).rejects.toMatchObject({ code: '42501' })
  // Granting the views again takes nothing away.
  expect(await grantReader(database.url, reader.name)).toMatchObject({ readsResults: true })
})

test('before the grant a role sees nothing, and after it others still see nothing', async () => {
  await using database = await createTestDatabase()
  await using reader = await createReader(database)
  await using other = await createReader(database, 'other')
  await expect(reader.query('SELECT FROM spidra_reporting.batch_jobs')).rejects.toMatchObject({ code: '42501' })

  await grantReader(database.url, reader.name)
  await grantReader(database.url, reader.name)

  expect(await reader.query('SELECT FROM spidra_reporting.batch_jobs')).toEqual([])
  await expect(other.query('SELECT FROM spidra_reporting.batch_jobs')).rejects.toMatchObject({ code: '42501' })
})

test('reads views that the owner creates or replaces later, whoever granted', async () => {
  await using database = await createCliDatabase()
  await migrate(database.url)
  const asAdmin = new URL(database.url)
  await using granter = await createReader(database, 'granter')
  await database.sql(`ALTER ROLE ${granter.name} SUPERUSER PASSWORD 'granter'`)
  asAdmin.username = granter.name
  asAdmin.password = 'granter'
  await using reader = await createReader(database)

  await grantReader(asAdmin.href, reader.name)

  await database.sql(`SET ROLE ${database.name}_owner;
    CREATE VIEW spidra_reporting.later AS SELECT 7 AS seven;
    CREATE OR REPLACE VIEW spidra_reporting.stuck_batch_jobs AS
      SELECT o.* FROM spidra_reporting.open_batch_jobs o WHERE o.seconds_without_progress > 1;
    RESET ROLE`)
  expect(await reader.query('SELECT seven FROM spidra_reporting.later')).toEqual([{ seven: 7 }])
  expect(await reader.query('SELECT uuid FROM spidra_reporting.stuck_batch_jobs')).toEqual([])
})

test('reports a role that may not connect, and one that can read the tables anyway', async () => {
  await using database = await createTestDatabase()
  await using outsider = await createReader(database, 'outsider')
  await using insider = await createReader(database, 'insider')
  await database.sql(`REVOKE CONNECT ON DATABASE ${database.name} FROM PUBLIC; ALTER ROLE ${insider.name} SUPERUSER`)

  expect(await grantReader(database.url, outsider.name)).toMatchObject({ mayConnect: false, readsTables: false })
  expect(await grantReader(database.url, insider.name)).toMatchObject({ mayConnect: true, readsTables: true })
})

test('refuses where our role owns the views but may not grant the schema: Postgres would only warn', async () => {
  await using database = await createCliDatabase()
  const owner = `${database.name}_owner`
  await database.sql(`CREATE SCHEMA spidra_reporting; GRANT USAGE, CREATE ON SCHEMA spidra_reporting TO ${owner}`)
  await migrate(database.url)
  await using reader = await createReader(database)

  await expect(grantReader(database.url, reader.name)).rejects.toMatchObject({
    name: 'DatabaseError',
    code: 'permission',
    message: expect.stringContaining('batch_jobs, batch_reads, daily_batch_jobs'),
  })

  const rights = `SELECT has_table_privilege($1, 'spidra_reporting.batch_jobs', 'SELECT') AS granted`
  expect(await database.sql(rights, [reader.name])).toEqual([{ granted: false }])
})
