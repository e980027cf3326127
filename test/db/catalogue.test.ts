import { expect, test } from 'vitest'
import { findDrift, readCatalogue } from '../../src/db/catalogue.js'
import { openReadOnly } from '../../src/db/read-only.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

const { signal } = new AbortController()

/** Does something with a read-only connection to the database. */
async function look<T>(database: TestDatabase, work: (connection: Awaited<ReturnType<typeof openReadOnly>>) => T) {
  const connection = await openReadOnly(database.url, signal)
  try {
    return await work(connection)
  } finally {
    await connection.close()
  }
}

test('prisma/catalogue.txt lists what the migrations make (`-u` writes it anew)', async () => {
  await using database = await createTestDatabase()

  const lines = await look(database, readCatalogue)

  expect(lines.length).toBeGreaterThan(200)
  await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('../../prisma/catalogue.txt')
})

test('finds no drift in a migrated database, whatever the role has set for itself', async () => {
  await using database = await createTestDatabase()
  await database.sql(`ALTER DATABASE "${database.name}" SET search_path = spidra, spidra_reporting`)

  expect(await look(database, findDrift)).toEqual([])
})

test('finds what is missing or changed, and is not disturbed by what was added', async () => {
  await using database = await createTestDatabase()
  await database.sql(`
    DROP INDEX spidra.batch_jobs_live_idx;
    DROP TRIGGER batch_jobs_updated ON spidra.batch_jobs;
    ALTER TABLE spidra.batch_jobs ALTER COLUMN account DROP NOT NULL;
    ALTER TABLE spidra.batch_jobs DISABLE TRIGGER batch_jobs_deleted;
    ALTER TABLE spidra.rejected_jobs DROP COLUMN reason;
    DROP VIEW spidra_reporting.status_changes;
    CREATE OR REPLACE FUNCTION spidra.forget_days() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE INDEX my_own_idx ON spidra.batch_jobs (status);
    CREATE VIEW spidra_reporting.my_own AS SELECT 1 AS one`)

  const drift = await look(database, findDrift)

  const named = (isMissing: boolean) => drift.filter((one) => one.isMissing === isMissing).map(({ name }) => name)
  expect(named(false)).toEqual(['column spidra.batch_jobs.account', 'function spidra.forget_days()'])
  expect(named(true)).toEqual([
    'column spidra.rejected_jobs.reason',
    'index spidra.batch_jobs_live_idx',
    'trigger spidra.batch_jobs.batch_jobs_deleted',
    'trigger spidra.batch_jobs.batch_jobs_updated',
    expect.stringMatching(/^view column spidra_reporting\.status_changes\./),
    ...Array.from({ length: 7 }, () => expect.stringMatching(/^view column spidra_reporting\.status_changes\./)),
  ])
})

test('a connection for looking cannot write, and says so to Postgres', async () => {
  await using database = await createTestDatabase()

  await look(database, async (connection) => {
    await expect(connection.query('DELETE FROM spidra.sync_state')).rejects.toMatchObject({ code: '25006' })
    await expect(connection.query('SELECT 1 AS one')).resolves.toMatchObject({ rows: [{ one: 1 }] })
  })
})

test('a connection that is being made is given up when the signal aborts', async () => {
  const stop = new AbortController()
  const opening = openReadOnly('postgres://nobody@192.0.2.1:5432/none', stop.signal)
  stop.abort()

  await expect(opening).rejects.toThrow()
})
