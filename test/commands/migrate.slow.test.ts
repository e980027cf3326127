import { expect, test } from 'vitest'
import { migrate, readMigrations } from '../../src/db/migrate.js'
import { API_KEY, runCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'

test('needs no key, says what it did, and does nothing the second time', async () => {
  await using database = await createCliDatabase()
  const env = { DATABASE_URL: database.url }

  const first = await runCli(['migrate'], { env })
  const second = await runCli(['migrate'], { env })
  const json = await runCli(['migrate', '--json'], { env })

  const total = (await readMigrations()).length
  expect(json).toMatchObject({ code: 0, stdout: `{"applied":[],"total":${total},"unknown":[]}\n`, stderr: '' })
  expect(first).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Migrations: applied \d{14}_init.*all \d+\.\n$/),
  })
  expect(second).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Migrations: nothing to do; .*all \d+\.\n$/) })
  expect(second.stderr).toBe('')
  expect(await database.sql(`SELECT count(*)::integer AS tables FROM pg_tables WHERE schemaname = 'spidra'`)).toEqual([
    { tables: expect.any(Number) },
  ])
})

test('of two at once each migration is applied by one, and both end well', async () => {
  await using database = await createCliDatabase()
  const env = { DATABASE_URL: database.url }

  const both = await Promise.all([runCli(['migrate'], { env }), runCli(['migrate'], { env })])

  expect(both.map(({ code }) => code)).toEqual([0, 0])
  // The lock is held for one migration at a time, so they may take turns.
  const applied = both.flatMap(({ stdout }) => stdout.match(/\d{14}_\w+/g) ?? [])
  expect(applied.sort()).toEqual((await readMigrations()).map(({ name }) => name))
})

test('a migration that was edited after it was applied is refused by name, and fails', async () => {
  await using database = await createCliDatabase()
  const env = { DATABASE_URL: database.url }
  await migrate(database.url)
  await database.sql(`UPDATE spidra._prisma_migrations SET checksum = 'another'`)

  const { code, stdout, stderr } = await runCli(['migrate'], { env })

  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(/^spidra-sync: Migration \d{14}_init was edited after it was applied\. .+\n$/)
})

test.each(['LATIN1', 'SQL_ASCII'])(
  'a database in %s is refused by migrate, sync and start before anything is made',
  async (encoding) => {
    await using database = await createCliDatabase({ encoding })
    const env = {
      DATABASE_URL: database.url,
      SPIDRA_API_KEY: API_KEY,
      SPIDRA_API_URL: 'http://127.0.0.1:9/api',
      HTTP_PORT: '0',
    }

    const refusal = new RegExp(
      `Database "${database.name}" of Postgres at \\S+ cannot store every character \\(its encoding is ${encoding}\\): ` +
        "create one with `CREATE DATABASE \\.\\.\\. ENCODING 'UTF8' TEMPLATE template0 LOCALE 'C'`, and name it in DATABASE_URL\\.\n$",
    )
    for (const command of ['migrate', 'sync', 'start']) {
      const { code, stdout, stderr } = await runCli([command], { env })
      expect({ command, code, stderr }).toEqual({ command, code: 1, stderr: expect.stringMatching(refusal) })
      if (command === 'migrate') expect({ stdout, lines: stderr.split('\n').length }).toEqual({ stdout: '', lines: 2 })
    }
    expect(await database.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'spidra%'")).toEqual([])
  },
)

test('a database in LATIN1 that an older version migrated is refused too, and no run is recorded', async () => {
  await using database = await createCliDatabase({ encoding: 'LATIN1' })
  await database.sql('CREATE SCHEMA spidra')
  for (const { sql } of await readMigrations()) await database.sql(sql)
  const env = { DATABASE_URL: database.url, SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: 'http://127.0.0.1:9/api' }

  const { code, stderr } = await runCli(['sync'], { env })

  expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('(its encoding is LATIN1)') })
  expect(await database.sql('SELECT id FROM spidra.sync_runs')).toEqual([])
})
