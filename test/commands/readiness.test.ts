import { expect, test } from 'vitest'
import { checkReadiness } from '../../src/commands/readiness.js'
import { type Database, openDatabase } from '../../src/db/client.js'
import { openRelay } from '../support/relay.js'
import { createTestDatabase } from '../support/test-database.js'

const check = (db: Database) => checkReadiness(db, { account: 'default', isArmed: true, intervalMs: 60_000 })

/** A pool of its own, closed at the end of the block. */
function pool(url: string): { db: Database } & AsyncDisposable {
  const db = openDatabase(url)
  return { db, [Symbol.asyncDispose]: () => db.$disconnect() }
}

test('a migrated database that answers is ready', async () => {
  await using database = await createTestDatabase()

  expect(await check(database.db)).toEqual({
    database: { ok: true, detail: 'answers' },
    migrations: { ok: true, detail: 'applied' },
    schedules: { ok: true, detail: 'armed' },
    freshness: { ok: true, detail: 'no complete run yet' },
  })
})

test('a database that may only be read is not', async () => {
  await using database = await createTestDatabase()
  await database.sql(`ALTER DATABASE ${database.name} SET default_transaction_read_only = on`)
  await using readers = pool(database.url)

  expect(await check(readers.db)).toMatchObject({ database: { ok: false, detail: 'is read-only' } })
})

test('an edited migration is named, and the database that holds it is not blamed', async () => {
  await using database = await createTestDatabase()
  await database.sql(`UPDATE spidra._prisma_migrations SET checksum = 'another' WHERE migration_name LIKE '%init'`)

  expect(await check(database.db)).toMatchObject({
    database: { ok: true },
    migrations: { ok: false, detail: expect.stringMatching(/^edited: \d{14}_init$/) },
  })
})

test('a refusal is told from silence, and neither names the server', async () => {
  await using database = await createTestDatabase()
  await using relay = await openRelay(database.url)
  await using away = pool(relay.url)
  await relay.cut()
  const role = `${database.name}_nobody`
  await database.sql(`CREATE ROLE ${role} LOGIN PASSWORD 'none'`)
  const url = new URL(database.url)
  url.username = role
  url.password = 'none'
  await using stranger = pool(url.href)

  expect(await check(away.db)).toEqual({
    database: { ok: false, detail: 'does not answer' },
    schedules: { ok: true, detail: 'armed' },
  })
  expect(await check(stranger.db)).toEqual({
    database: { ok: false, detail: 'refuses: permission' },
    schedules: { ok: true, detail: 'armed' },
  })
  await database.sql(`DROP ROLE ${role}`)
})
