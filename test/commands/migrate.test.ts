import { expect, test } from 'vitest'
import { readMigrations } from '../../src/db/migrate.js'
import { runCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'

test('needs no key, says what it did, and does nothing the second time', async () => {
  await using database = await createCliDatabase()
  const env = { DATABASE_URL: database.url }

  const first = await runCli(['migrate'], { env })
  const second = await runCli(['migrate'], { env })

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
  await runCli(['migrate'], { env })
  await database.sql(`UPDATE spidra._prisma_migrations SET checksum = 'another'`)

  const { code, stdout, stderr } = await runCli(['migrate'], { env })

  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(/^spidra-sync: Migration \d{14}_init was edited after it was applied\. .+\n$/)
})
