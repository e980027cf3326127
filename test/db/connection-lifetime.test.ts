import { expect, test } from 'vitest'
import { openDatabase } from '../../src/db/client.js'
import { isReadOnly } from '../../src/db/write-mode.js'
import { createTestDatabase } from '../support/test-database.js'

test('a connection that began while the database was read-only is replaced, however busy it is', async () => {
  await using database = await createTestDatabase()
  await database.sql(`ALTER DATABASE ${database.name} SET default_transaction_read_only = on`)
  await using pool = {
    db: openDatabase(database.url, { maxLifetimeSeconds: 1 }),
    [Symbol.asyncDispose]: () => pool.db.$disconnect(),
  }
  expect(await isReadOnly(pool.db)).toBe(true)

  await database.sql(`ALTER DATABASE ${database.name} RESET default_transaction_read_only`)

  // Asked so often, it would never lie idle for long enough to be closed.
  await expect.poll(() => isReadOnly(pool.db), { timeout: 20_000, interval: 20 }).toBe(false)
})
