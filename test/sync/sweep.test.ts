import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { uuidOf } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { loadTable, makeSweepDue, noteSweep, runAgainst } from '../support/sync-runner.js'

const database = await shareTestDatabase()

interface SweepState {
  readonly position: string | null
  readonly rereadSince: Date
}

async function readState(): Promise<SweepState> {
  const [state] = await database.sql<SweepState>(
    'SELECT sweep_created_at::text AS position, reread_since AS "rereadSince" FROM spidra.sync_state',
  )
  if (state === undefined) throw new Error('no state')
  return state
}

const statusOf = async (uuid: string) =>
  (await database.sql<{ status: string }>('SELECT status FROM spidra.batch_jobs WHERE uuid = $1', [uuid]))[0]?.status

test('the first incremental run of an hour reads PAGES_PER_RUN pages, the others the head alone', async () => {
  await using simulator = await startSimulator({ jobs: 5_000, rateLimit: 'off' })
  await loadTable(simulator, database)
  await makeSweepDue(database)

  const first = await runAgainst(simulator, database, { pagesPerRun: 20 })
  const second = await runAgainst(simulator, database, { pagesPerRun: 20 })

  expect(first.pages).toEqual([...Array.from({ length: 20 }, (_, index) => index + 1), 1])
  expect(second.pages).toEqual([1])
})

test('a round goes on where the last slice ended, wraps round at the end, and leaves when it began', async () => {
  await using simulator = await startSimulator({ jobs: 1_500, rateLimit: 'off', ties: 0 })
  await loadTable(simulator, database)
  const before = await readState()
  const startedAt = new Date()
  const slices: (readonly (number | null)[])[] = []
  do {
    await makeSweepDue(database)
    const { pages, summary } = await runAgainst(simulator, database, { pagesPerRun: 10 })
    expect(summary.status).toBe('complete')
    slices.push(pages.slice(0, -1))
    if ((await readState()).position !== null) expect((await readState()).rereadSince).toEqual(before.rereadSince)
  } while ((await readState()).position !== null)

  expect(slices.map((slice) => [slice.at(0), slice.at(-1)])).toEqual([
    [1, 10],
    [10, 19],
    [19, 28],
    [28, 30],
  ])
  const { rereadSince } = await readState()
  expect(rereadSince.getTime()).toBeGreaterThanOrEqual(startedAt.getTime())
  // The beginning of the round, not its end.
  expect(rereadSince.getTime()).toBeLessThan((await lastSweepAt()).getTime())

  await makeSweepDue(database)
  expect((await runAgainst(simulator, database, { pagesPerRun: 10 })).pages[0]).toBe(1)
})

async function lastSweepAt(): Promise<Date> {
  const [row] = await database.sql<{ at: Date }>('SELECT last_sweep_at AS at FROM spidra.sync_state')
  return row?.at ?? new Date(0)
}

test('a round finds old jobs that run again, and from then on every run reads them', async () => {
  await using simulator = await startSimulator({ jobs: 2_000, rateLimit: 'off' })
  await loadTable(simulator, database)
  const reopened = [...simulator.account.allUuids()].at(1_777) ?? ''
  simulator.account.updateJob(reopened, { status: 'running', totalUrls: 9, completedCount: 3 })
  await noteSweep(database)
  await runAgainst(simulator, database)
  expect(await statusOf(reopened)).not.toBe('running')

  for (let hour = 0; hour < 3; hour += 1) {
    await makeSweepDue(database)
    await runAgainst(simulator, database)
  }

  expect(await statusOf(reopened)).toBe('running')
  expect(await database.sql('SELECT kind, uuid::text AS uuid FROM spidra.batch_job_events')).toEqual([
    { kind: 'reopened', uuid: reopened },
  ])
  await noteSweep(database)
  simulator.account.updateJob(reopened, { status: 'completed' })
  expect((await runAgainst(simulator, database)).requests).toBe(2)
  expect(await statusOf(reopened)).toBe('completed')
})

test('a tie longer than a slice does not hold the sweep up: one slice reads it whole', async () => {
  await using simulator = await startSimulator({ rateLimit: 'off' })
  const add = (number: number, createdAt: string) =>
    simulator.account.addJob({ uuid: uuidOf(number), status: 'completed', createdAt })
  for (let number = 0; number < 300; number += 1) {
    add(number, new Date(Date.UTC(2026, 0, 1) + number * 1000).toISOString())
  }
  for (let number = 300; number < 900; number += 1) add(number, '2026-02-01T00:00:00.000001Z')
  for (let number = 900; number < 1_000; number += 1) {
    add(number, new Date(Date.UTC(2026, 2, 1) + number * 1000).toISOString())
  }
  await loadTable(simulator, database)
  const slices: (readonly (number | null)[])[] = []
  do {
    await makeSweepDue(database)
    const { pages, summary } = await runAgainst(simulator, database, { pagesPerRun: 4 })
    expect(summary.status).toBe('complete')
    slices.push(pages.slice(0, -1))
    expect(slices.length).toBeLessThan(10)
  } while ((await readState()).position !== null)

  // All 20 pages are read; the tie of 600 jobs, which fills pages 3 to 14, by one slice.
  expect(new Set(slices.flat())).toEqual(new Set(Array.from({ length: 20 }, (_, index) => index + 1)))
  const tie = Array.from({ length: 12 }, (_, index) => index + 3)
  expect(slices.filter((slice) => tie.every((page) => slice.includes(page)))).toHaveLength(1)
  expect(slices.flat().length).toBeLessThan(20 + 2 * slices.length + 4)
})

test('a spent budget ends the slice, and the next one goes on from there', async () => {
  await using simulator = await startSimulator({ jobs: 2_000, rateLimit: 'off', ties: 0 })
  await loadTable(simulator, database)
  await makeSweepDue(database)
  const cut = await runAgainst(simulator, database, { mayGo: () => simulator.requestCount < 6 })
  expect(cut.pages).toEqual([1, 2, 3, 4, 5, 6, 1])
  expect(cut.summary.status).toBe('complete')

  await makeSweepDue(database)
  const { pages } = await runAgainst(simulator, database)

  expect(pages[0]).toBe(cut.pages.at(-2))
})
