import { expect, test } from 'vitest'
import { migrate } from '../../src/db/migrate.js'
import { openTransaction } from '../support/blocking.js'
import { createTestDatabase } from '../support/test-database.js'

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
