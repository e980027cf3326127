import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { migrate, pendingMigrations, readMigrations } from '../../src/db/migrate.js'
import { openTransaction } from '../support/blocking.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

const own = (await readMigrations()).map((migration) => migration.name)

test('applies every migration to an empty database, and nothing the second time', async () => {
  await using database = await createTestDatabase({ isMigrated: false })

  expect(await migrate(database.url)).toEqual({ applied: own, total: own.length, unknown: [] })
  expect(await migrate(database.url)).toEqual({ applied: [], total: own.length, unknown: [] })

  expect(await database.sql(`SELECT to_regclass('spidra.batch_jobs')::text AS name`)).toEqual([
    { name: 'spidra.batch_jobs' },
  ])
})

test('says what is pending without changing anything', async () => {
  await using database = await createTestDatabase({ isMigrated: false })

  expect(await pendingMigrations(database.db)).toEqual(own)
  expect(await database.sql(`SELECT 1 FROM pg_namespace WHERE nspname = 'spidra'`)).toEqual([])

  await migrate(database.url)
  expect(await pendingMigrations(database.db)).toEqual([])
})

test('applies each migration once when ten start at once', async () => {
  await using database = await createTestDatabase({ isMigrated: false })
  await using files = await migrationFiles({
    '1_a': 'CREATE SCHEMA a',
    '2_b': 'CREATE TABLE a.b ()',
    '3_c': 'CREATE TABLE a.c ()',
  })

  const reports = await Promise.all(Array.from({ length: 10 }, () => migrate(database.url, files)))

  expect(reports.flatMap((report) => report.applied).sort()).toEqual(['1_a', '2_b', '3_c'])
  expect(await appliedNames(database)).toEqual(['1_a', '2_b', '3_c'])
})

test('leaves nothing of a failing migration behind, names it, and keeps those before it', async () => {
  await using database = await createTestDatabase({ isMigrated: false })
  await using files = await migrationFiles({
    '1_good': 'CREATE TABLE public.kept ()',
    '2_bad': 'CREATE TABLE public.half (); SELECT 1 / 0; CREATE TABLE public.rest ()',
    '3_after': 'CREATE TABLE public.after ()',
  })

  await expect(migrate(database.url, files)).rejects.toMatchObject({
    name: 'MigrationError',
    code: 'failed',
    migration: '2_bad',
    message: expect.stringContaining('2_bad failed and was rolled back: division by zero (SQLSTATE 22012)'),
  })

  expect(await appliedNames(database)).toEqual(['1_good'])
  expect(await database.sql(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)).toEqual([
    { tablename: 'kept' },
  ])

  await files.write('2_bad', 'CREATE TABLE public.mended ()')
  expect((await migrate(database.url, files)).applied).toEqual(['2_bad', '3_after'])
})

test('refuses a migration that was edited after it was applied, by its name', async () => {
  await using database = await createTestDatabase({ isMigrated: false })
  await using files = await migrationFiles({ '1_a': 'CREATE TABLE public.a ()', '2_b': 'CREATE TABLE public.b ()' })
  await migrate(database.url, files)
  await files.write('1_a', 'CREATE TABLE public.a (edited integer)')

  const refusal = { name: 'MigrationError', code: 'edited', migration: '1_a' }
  await expect(migrate(database.url, files)).rejects.toMatchObject(refusal)
  await expect(pendingMigrations(database.db, files.directory)).rejects.toMatchObject(refusal)
})

test('takes a checkout with Windows line ends for the same file', async () => {
  await using database = await createTestDatabase({ isMigrated: false })
  await using files = await migrationFiles({ '1_a': 'CREATE TABLE public.a (\n)' })
  await migrate(database.url, files)
  await files.write('1_a', 'CREATE TABLE public.a (\r\n)')

  expect((await migrate(database.url, files)).applied).toEqual([])
})

test('refuses a migration that the CLI of Prisma left unfinished, and goes on once it is marked as rolled back', async () => {
  await using database = await createTestDatabase({ isMigrated: false })
  await using files = await migrationFiles({ '1_a': 'CREATE TABLE public.a ()', '2_b': 'CREATE TABLE public.b ()' })
  await migrate(database.url, files)
  await database.sql(
    `DROP TABLE public.b; UPDATE spidra._prisma_migrations SET finished_at = NULL WHERE migration_name = '2_b'`,
  )

  await expect(migrate(database.url, files)).rejects.toMatchObject({ code: 'unfinished', migration: '2_b' })

  await database.sql(`UPDATE spidra._prisma_migrations SET rolled_back_at = now() WHERE migration_name = '2_b'`)
  expect((await migrate(database.url, files)).applied).toEqual(['2_b'])
})

test('works on a database that a newer version has migrated, and says so', async () => {
  await using database = await createTestDatabase({ isMigrated: false })
  await using newer = await migrationFiles({ '1_a': 'CREATE TABLE public.a ()', '2_b': 'CREATE TABLE public.b ()' })
  await using older = await migrationFiles({ '1_a': 'CREATE TABLE public.a ()' })
  await migrate(database.url, newer)

  expect(await migrate(database.url, older)).toEqual({ applied: [], total: 1, unknown: ['2_b'] })
})

test('stops waiting for another process when aborted', async () => {
  await using database = await createTestDatabase({ isMigrated: false })
  const controller = new AbortController()
  const log = { debug: () => undefined, warn: () => undefined, info: () => controller.abort() }
  await database.sql('SELECT pg_advisory_lock(72707369)')

  const migration = migrate(database.url, { log, signal: controller.signal })

  await expect(migration).rejects.toMatchObject({ name: 'AbortError' })
})

test("waits for another process that migrates, longer than the role's lock_timeout", async () => {
  await using database = await createTestDatabase({ isMigrated: false })
  await database.sql(`ALTER DATABASE ${database.name} SET lock_timeout = '50ms'`)
  await using other = await openTransaction(database)
  await other.query('SELECT pg_advisory_xact_lock(72707369)')

  const migrating = migrate(database.url)
  migrating.catch(() => undefined)
  const waiting = `SELECT count(*)::integer AS waiting FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event = 'advisory' AND now() - query_start > interval '300ms'`
  await expect.poll(() => database.sql(waiting), { timeout: 20_000 }).toEqual([{ waiting: 1 }])
  await other.commit()

  expect((await migrating).applied.length).toBeGreaterThan(0)
})

test('needs no more than the two schemas, made beforehand by someone else', async () => {
  await using database = await createTestDatabase({ isMigrated: false })
  await using role = await createRole(database)
  await database.sql(`
    CREATE SCHEMA spidra AUTHORIZATION ${role.name};
    CREATE SCHEMA spidra_reporting AUTHORIZATION ${role.name}`)

  expect((await migrate(role.url)).applied).toEqual(own)
})

test('names the right that a role lacks', async () => {
  await using database = await createTestDatabase({ isMigrated: false })
  await using role = await createRole(database)

  await expect(migrate(role.url)).rejects.toMatchObject({ name: 'DatabaseError', code: 'permission' })
})

test('ships with every migration the table and column comments that analysts read', async () => {
  await using database = await createTestDatabase()

  const uncommented = await database.sql(`
    SELECT c.relname AS relation, a.attname AS column
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relname <> '_prisma_migrations'
    WHERE n.nspname IN ('spidra', 'spidra_reporting') AND c.relkind IN ('r', 'p', 'v', 'm')
      AND (obj_description(c.oid, 'pg_class') IS NULL OR (a.attnum IS NOT NULL AND col_description(c.oid, a.attnum) IS NULL))`)
  const schemas = await database.sql(`
    SELECT nspname FROM pg_namespace
    WHERE nspname LIKE 'spidra%' AND obj_description(oid, 'pg_namespace') IS NULL`)

  expect(uncommented).toEqual([])
  expect(schemas).toEqual([])
})

async function appliedNames({ sql }: TestDatabase): Promise<string[]> {
  const rows = await sql<{ name: string }>(
    'SELECT migration_name AS name FROM spidra._prisma_migrations ORDER BY started_at',
  )
  return rows.map((row) => row.name)
}

/** A directory of migrations like prisma/migrations, in a temporary place. */
async function migrationFiles(files: Readonly<Record<string, string>>) {
  const path = await mkdtemp(join(tmpdir(), 'spidra-sync-migrations-'))
  const write = async (name: string, sql: string) => {
    await mkdir(join(path, name), { recursive: true })
    await writeFile(join(path, name, 'migration.sql'), sql)
  }
  for (const [name, sql] of Object.entries(files)) await write(name, sql)
  return {
    directory: pathToFileURL(`${path}/`),
    write,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
}

/** A role that may log in to this database and nothing else. */
async function createRole({ name: database, url, sql }: TestDatabase) {
  const name = `${database}_role`
  await sql(`CREATE ROLE ${name} LOGIN PASSWORD 'secret'; REVOKE CREATE ON DATABASE ${database} FROM PUBLIC`)
  const roleUrl = new URL(url)
  roleUrl.username = name
  roleUrl.password = 'secret'
  return {
    name,
    url: roleUrl.href,
    [Symbol.asyncDispose]: async () => void (await sql(`DROP OWNED BY ${name} CASCADE; DROP ROLE ${name}`)),
  }
}
