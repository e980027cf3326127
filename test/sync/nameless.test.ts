import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { item, uuidOf } from '../support/pages.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { loadTable, noteSweep, runAgainst, storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

test.each([
  { mode: 'full', jobs: 620, page: 3 },
  { mode: 'incremental', jobs: 170, page: 2 },
  { mode: 'incremental', jobs: 40, page: 1 },
] as const)(
  'an item whose uuid is spoilt once may be any job: none is marked as removed ($mode, $jobs jobs)',
  async ({ mode, jobs, page }) => {
    await using simulator = await startSimulator({ jobs, rateLimit: 'off' })
    await loadTable(simulator, database)
    await noteSweep(database)
    simulator.faults.next('malformedItems', { page })

    const first = await runAgainst(simulator, database, { mode })
    expect(first.summary.removed).toBe(0)
    const second = await runAgainst(simulator, database, { mode })

    expect(second.summary).toMatchObject({ status: 'complete', removed: 0, restored: 0, storedTotal: jobs })
    expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
  },
)

test('items that were spoilt once leave no run partial: the list is read once more', async () => {
  await using simulator = await startSimulator({ jobs: 620, rateLimit: 'off' })
  await loadTable(simulator, database)
  await noteSweep(database)
  simulator.faults.next('malformedItems', { page: 1 })

  expect((await runAgainst(simulator, database)).summary).toMatchObject({ status: 'complete', storedTotal: 620 })
  expect((await runAgainst(simulator, database)).summary).toMatchObject({ status: 'complete', mode: 'incremental' })
})

test('an item that never had a uuid hides no job, and what is removed beside it is found', async () => {
  const items = Array.from({ length: 620 }, (_, index) => item(index, 10_000 - index, index === 333 ? { uuid: 7 } : {}))
  await using simulator = await startSimulator({ items, rateLimit: 'off' })
  expect((await runAgainst(simulator, database, { mode: 'full' })).summary).toMatchObject({
    status: 'complete',
    rejected: 1,
  })
  // The row of a rejection is written again once a day, and still says the same.
  await database.sql("UPDATE spidra.rejected_jobs SET last_rejected_at = now() - interval '2 days'")
  simulator.account.removeJob(uuidOf(334))

  const { summary } = await runAgainst(simulator, database, { mode: 'full' })

  expect(summary).toMatchObject({ status: 'complete', removed: 1, rejected: 1, storedTotal: 619 })
  expect(await storedUuids(database)).not.toContain(uuidOf(334))
})

test('a job that loses its uuid for good stays as it is stored, and no run says complete, for a day', async () => {
  const items = Array.from({ length: 620 }, (_, index) => item(index, 10_000 - index))
  {
    await using simulator = await startSimulator({ items, rateLimit: 'off' })
    await runAgainst(simulator, database, { mode: 'full' })
  }
  const spoilt = items.map((job, index) => (index === 333 ? { ...job, uuid: 7 } : job))
  await using simulator = await startSimulator({ items: spoilt, rateLimit: 'off' })

  const { summary } = await runAgainst(simulator, database, { mode: 'full' })

  expect(summary).toMatchObject({ status: 'partial', reason: 'more_stored_than_listed', removed: 0, rejected: 1 })

  // The whole list is read for it once more, and then not again.
  await noteSweep(database)
  const requests = []
  for (let run = 1; run <= 3; run += 1) requests.push((await runAgainst(simulator, database)).requests)
  expect(
    requests.slice(1).every((count) => count < 5),
    `${requests}`,
  ).toBe(true)

  await database.sql("UPDATE spidra.sync_runs SET started_at = started_at - interval '25 hours'")
  expect((await runAgainst(simulator, database, { mode: 'full' })).summary).toMatchObject({
    status: 'complete',
    removed: 1,
    rejected: 1,
    storedTotal: 620,
  })
})
