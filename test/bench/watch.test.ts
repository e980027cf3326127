import { expect, test, vi } from 'vitest'
import { startWatch } from '../../bench/freshness/watch.js'
import { createAccount } from '../../src/simulator/account.js'
import { createTestDatabase } from '../support/test-database.js'

const SQL = 'SELECT uuid::text AS uuid, fields FROM jobs WHERE true'
/** A scaled minute is 20 ms. */
const SPEED = 3_000

test('the first load ends when the table holds all jobs of the start, and the oldest row decides from then on', async () => {
  await using database = await createTestDatabase()
  const account = createAccount({ jobs: 20, speed: SPEED })
  await using watch = await startWatch(account, { databaseUrl: database.url, sql: SQL, speed: SPEED, arrivals: 0 })
  const jobs = [...account.allUuids()].map((uuid) => {
    const { status, totalUrls, completedCount, failedCount } = account.job(uuid) ?? {}
    return { uuid, fields: `${status} ${totalUrls} ${completedCount} ${failedCount}` }
  })
  const insert = (rows: typeof jobs) =>
    database.sql(`INSERT INTO jobs VALUES ${rows.map(({ uuid, fields }) => `('${uuid}', '${fields}')`).join(', ')}`)
  const [first, ...others] = jobs

  // A table that is not there yet is an empty one.
  expect(watch.state.loadMinutes).toBeNull()
  await database.sql('CREATE TABLE jobs (uuid uuid PRIMARY KEY, fields text)')
  await insert(others)
  expect(watch.state.loadMinutes).toBeNull()
  await database.sql(`INSERT INTO jobs VALUES ('${first?.uuid}', 'pending 0 0 0')`)
  await vi.waitFor(() => expect(watch.state.loadMinutes).toBeGreaterThan(0))
  const ages = watch.endSpan()

  expect(ages.samples).toBeGreaterThan(0)
  expect(ages.listed).toBe(20)
  expect(ages.all.median).toBe(0)
  expect(ages.worst.median).toBeGreaterThan(0)
  expect(ages.open.median).toBeNull()
  expect(watch.state.isSettled).toBe(false)
  await database.sql(`UPDATE jobs SET fields = '${first?.fields}' WHERE uuid = '${first?.uuid}'`)
  await vi.waitFor(() => expect(watch.state.isSettled).toBe(true))
})

test('a job that arrives is as old as its creation until it has a row', async () => {
  await using database = await createTestDatabase()
  await database.sql('CREATE TABLE jobs (uuid uuid PRIMARY KEY, fields text)')
  const account = createAccount({ speed: SPEED })
  await using watch = await startWatch(account, { databaseUrl: database.url, sql: SQL, speed: SPEED, arrivals: 1 })
  await vi.waitFor(() => expect(account.total).toBeGreaterThan(20))
  const { listed, worst, all } = watch.endSpan()

  expect(listed).toBe(account.total)
  // One a minute, and the first at once.
  expect(worst.most).toBeGreaterThan(10)
  expect(all.median).toBeGreaterThan(0)
})
