import { describe, expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { loadTable, makeSweepDue, noteSweep, runAgainst, storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

async function tableText(): Promise<string> {
  const rows = await database.sql('SELECT b::text AS row FROM spidra.batch_jobs b ORDER BY uuid')
  return JSON.stringify(rows)
}

const MASS = { status: 'partial', reason: 'mass_removal', removed: 0, inserted: 0, updated: 0 }

describe.each([
  { stored: 600, other: 320 },
  { stored: 600, other: 2_500 },
  { stored: 600, other: 20 },
  { stored: 600, other: 11_000 },
  { stored: 11_000, other: 900 },
  { stored: 10_500, other: 11_500 },
])('with the key of another account: $stored jobs stored, $other listed', ({ stored, other }) => {
  test('nothing is merged, nothing removed, however many full runs follow; only acceptRemovals applies it', async () => {
    {
      await using mine = await startSimulator({ seed: 1, jobs: stored, rateLimit: 'off' })
      await loadTable(mine, database)
    }
    const before = await tableText()
    await using simulator = await startSimulator({ seed: 2, jobs: other, rateLimit: 'off' })

    for (let round = 0; round < 3; round += 1) {
      await makeSweepDue(database)
      const { summary } = await runAgainst(simulator, database)
      expect(summary.removed + summary.inserted + summary.updated).toBe(0)
      expect(summary).toMatchObject(MASS)
    }
    const first = await runAgainst(simulator, database, { mode: 'full' })
    expect(first.summary).toMatchObject(MASS)
    expect(await tableText()).toBe(before)

    const between = await runAgainst(simulator, database)
    expect(between.summary).toMatchObject(MASS)
    expect(await tableText()).toBe(before)

    expect((await runAgainst(simulator, database, { mode: 'full' })).summary).toMatchObject(MASS)
    expect(await tableText()).toBe(before)

    const accepted = await runAgainst(simulator, database, { mode: 'full', acceptRemovals: true })
    expect(accepted.summary).toMatchObject({ status: 'complete', inserted: other, removed: stored, storedTotal: other })
    expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
    await noteSweep(database)
    expect((await runAgainst(simulator, database)).summary.status).toBe('complete')
  })
})

test('after another key the own one is complete at once', async () => {
  await using mine = await startSimulator({ seed: 1, jobs: 600, rateLimit: 'off' })
  await loadTable(mine, database)
  await using other = await startSimulator({ seed: 2, jobs: 700, rateLimit: 'off' })
  await runAgainst(other, database, { mode: 'full' })

  expect((await runAgainst(mine, database)).summary.status).toBe('complete')
})

test('an emptied account is a mass removal too', async () => {
  {
    await using mine = await startSimulator({ jobs: 10, rateLimit: 'off' })
    await loadTable(mine, database)
  }
  await using empty = await startSimulator({ jobs: 0, rateLimit: 'off' })

  expect((await runAgainst(empty, database)).summary).toMatchObject(MASS)
  expect((await runAgainst(empty, database, { mode: 'full' })).summary).toMatchObject(MASS)
  expect((await runAgainst(empty, database, { mode: 'full' })).summary).toMatchObject(MASS)
  expect((await runAgainst(empty, database, { mode: 'full', acceptRemovals: true })).summary).toMatchObject({
    status: 'complete',
    removed: 10,
  })
})

test('a third gone at once waits for acceptRemovals; the rest is kept up to date meanwhile', async () => {
  await using simulator = await startSimulator({ jobs: 600, rateLimit: 'off' })
  await loadTable(simulator, database)
  const uuids = [...simulator.account.allUuids()]
  for (const uuid of uuids.slice(200, 400)) simulator.account.removeJob(uuid)
  simulator.account.addJob({ status: 'completed' })
  await noteSweep(database)

  expect((await runAgainst(simulator, database)).summary).toMatchObject({
    reason: 'mass_removal',
    removed: 0,
    inserted: 1,
  })
  expect((await runAgainst(simulator, database, { mode: 'full' })).summary).toMatchObject({
    reason: 'mass_removal',
    removed: 0,
  })
  expect((await runAgainst(simulator, database, { mode: 'full' })).summary).toMatchObject({
    reason: 'mass_removal',
    removed: 0,
  })
  expect((await runAgainst(simulator, database, { mode: 'full', acceptRemovals: true })).summary).toMatchObject({
    status: 'complete',
    removed: 200,
  })
})

test('every fourth job of a long list gone: nothing is removed in portions either', async () => {
  await using simulator = await startSimulator({ jobs: 6_000, rateLimit: 'off' })
  await loadTable(simulator, database)
  const uuids = [...simulator.account.allUuids()]
  for (const uuid of uuids.filter((_, place) => place % 4 === 1)) simulator.account.removeJob(uuid)
  await noteSweep(database)

  for (let round = 0; round < 3; round += 1) {
    const { summary, requests } = await runAgainst(simulator, database)
    expect(summary).toMatchObject(MASS)
    expect(requests).toBe(1)
  }
  expect((await runAgainst(simulator, database, { mode: 'full' })).summary).toMatchObject(MASS)
  expect((await runAgainst(simulator, database, { mode: 'full', acceptRemovals: true })).summary).toMatchObject({
    status: 'complete',
    removed: 1_500,
  })
})

test('more than 200 new pages at the head of the own list are read once, in one incremental run', async () => {
  await using simulator = await startSimulator({ jobs: 11_000, rateLimit: 'off' })
  await loadTable(simulator, database)
  await database.sql(`DELETE FROM spidra.batch_jobs WHERE uuid IN (
    SELECT uuid FROM spidra.batch_jobs ORDER BY created_at DESC, uuid LIMIT 10_200)`)

  const { summary, requests } = await runAgainst(simulator, database)

  expect(summary).toMatchObject({ mode: 'incremental', status: 'complete', inserted: 10_200, storedTotal: 11_000 })
  // The new pages and no others, page 1 once more, and a few to find where the stored jobs begin.
  expect(requests).toBeLessThan(204 + 5)
})
