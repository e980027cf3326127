import { expect, test } from 'vitest'
import { isReadOnly, openDatabase } from '../../src/db/client.js'
import { saveNextRun } from '../../src/db/sync-state.js'
import { openRun } from '../support/job-rows.js'
import { createTestDatabase } from '../support/test-database.js'

test.each(['Asia/Tokyo', 'America/New_York', 'UTC'])(
  'times are right where the database has the time zone %s',
  async (zone) => {
    await using database = await createTestDatabase()
    await database.sql(`ALTER DATABASE "${database.name}" SET TimeZone = '${zone}'`)
    await database.sql(`ALTER DATABASE "${database.name}" SET DateStyle = 'German'`)
    const db = openDatabase(database.url)
    try {
      const at = new Date('2026-03-01T12:00:00.123Z')
      await saveNextRun(db, 'default', at)
      const run = await openRun(db)

      expect((await db.syncState.findUniqueOrThrow({ where: { account: 'default' } })).nextRunAt).toEqual(at)
      const [raw] = await db.$queryRaw<{ nextRunAt: Date }[]>`SELECT next_run_at AS "nextRunAt" FROM spidra.sync_state`
      expect(raw).toEqual({ nextRunAt: at })
      const { startedAt } = await db.syncRun.findUniqueOrThrow({ where: { id: run.id } })
      expect(Math.abs(startedAt.getTime() - Date.now())).toBeLessThan(60_000)
      expect(
        await database.sql('SELECT next_run_at = $1::timestamptz AS same FROM spidra.sync_state', [at.toISOString()]),
      ).toEqual([{ same: true }])
    } finally {
      await db.$disconnect()
    }
  },
)

test('a connection that began while the database was read-only is replaced, even when it is never idle', async () => {
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
