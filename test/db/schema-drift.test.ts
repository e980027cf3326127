import { expect, test } from 'vitest'
import { TERMINAL_STATUSES } from '../../src/db/batch-jobs.js'
import { migrate, pendingMigrations, readMigrations } from '../../src/db/migrate.js'
import { openSchemaEngine } from '../support/schema-engine.js'
import { createTestDatabase } from '../support/test-database.js'

const IN_SYNC = { editedMigrationNames: [], failedMigrationNames: [], hasMigrationsTable: true, history: null }

test('keeps a ledger in which Prisma finds no fault, and nothing to apply', async () => {
  await using database = await createTestDatabase()
  await using engine = await openSchemaEngine(database.url)

  expect(await engine.diagnoseMigrationHistory()).toEqual(IN_SYNC)
  expect(await engine.applyMigrations()).toEqual([])
})

test('continues where Prisma has migrated', async () => {
  await using database = await createTestDatabase({ isMigrated: false })
  const names = (await readMigrations()).map((migration) => migration.name)
  {
    await using engine = await openSchemaEngine(database.url)
    expect(await engine.applyMigrations()).toEqual(names)
  }

  expect(await pendingMigrations(database.db)).toEqual([])
  expect((await migrate(database.url)).applied).toEqual([])
})

test('has no drift between schema.prisma and the migrated database', async () => {
  await using database = await createTestDatabase()
  await using engine = await openSchemaEngine(database.url)

  expect(await engine.diffToSchema()).toContain('This is an empty migration')
})

test('reports drift where there is some', async () => {
  await using database = await createTestDatabase()
  await using engine = await openSchemaEngine(database.url)
  await database.sql('ALTER TABLE spidra.batch_jobs ALTER COLUMN account DROP NOT NULL')

  expect(await engine.diffToSchema()).toContain('ALTER TABLE "batch_jobs" ALTER COLUMN "account" SET NOT NULL')
})

test('has all partial indexes, which Prisma does not know', async () => {
  await using database = await createTestDatabase()
  const terminal = TERMINAL_STATUSES.map((status) => `'${status}'::text`).join(', ')

  const rows = await database.sql<{ definition: string }>(`
    SELECT pg_get_indexdef(indexrelid) AS definition FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE indpred IS NOT NULL AND relnamespace = 'spidra'::regnamespace ORDER BY relname`)

  expect(rows.map((row) => row.definition)).toEqual([
    "CREATE INDEX batch_items_failed_idx ON spidra.batch_items USING btree (finished_at) WHERE ((status = 'failed'::text) AND (removed_at IS NULL))",
    'CREATE INDEX batch_jobs_live_idx ON spidra.batch_jobs USING btree (account, created_at DESC, uuid) WHERE (removed_at IS NULL)',
    `CREATE INDEX batch_jobs_open_idx ON spidra.batch_jobs USING btree (account, created_at) WHERE ((removed_at IS NULL) AND (status <> ALL (ARRAY[${terminal}])))`,
    'CREATE UNIQUE INDEX rejected_jobs_fingerprint_key ON spidra.rejected_jobs USING btree (account, fingerprint) WHERE (uuid IS NULL)',
    'CREATE INDEX rejected_jobs_open_idx ON spidra.rejected_jobs USING btree (account) WHERE (resolved_at IS NULL)',
    'CREATE UNIQUE INDEX rejected_jobs_uuid_key ON spidra.rejected_jobs USING btree (account, uuid) WHERE (uuid IS NOT NULL)',
    "CREATE UNIQUE INDEX sync_runs_lease_idx ON spidra.sync_runs USING btree (account) WHERE (status = 'running'::text)",
  ])
})
