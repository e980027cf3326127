import { expect, test } from 'vitest'
import { SYNC_SIZES } from '../../src/config/scale.js'
import { startSimulator } from '../../src/simulator/server.js'
import { item, uuidOf } from '../support/pages.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { loadTable, makeSweepDue, noteSweep, runAgainst, storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

const WARNING = 'list breaks an assumption: nothing is marked as removed in this run'

/** Jobs in an order that has nothing to do with their dates. */
const unsorted = (count: number) => Array.from({ length: count }, (_, index) => item(index, (index * 7_919) % 10_007))

test('an API that sorts otherwise: complete on a still list, one warning, and every run a full one', async () => {
  await using simulator = await startSimulator({ items: unsorted(620), rateLimit: 'off' })

  for (let round = 0; round < 3; round += 1) {
    const { summary, warnings, requests } = await runAgainst(simulator, database)

    expect(summary).toMatchObject({ status: 'complete', mode: 'full', storedTotal: 620 })
    expect(warnings).toEqual([WARNING])
    expect(requests).toBe(14)
  }
  expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
})

test('an unsorted list has no position to go on from, so a full pass reads it in one go', async () => {
  await using simulator = await startSimulator({ items: unsorted(2_500), rateLimit: 'off' })

  const { summary, requests } = await runAgainst(simulator, database, {
    timing: { refreshMs: 0 },
    signal: AbortSignal.timeout(20_000),
  })

  expect(summary).toMatchObject({ status: 'complete', storedTotal: 2_500 })
  expect(requests).toBe(51)
})

test('of an unsorted list nothing is removed: a job that is gone leaves the run partial', async () => {
  await using simulator = await startSimulator({ items: unsorted(620), rateLimit: 'off' })
  await runAgainst(simulator, database)
  simulator.account.removeJob(uuidOf(333))

  const { summary } = await runAgainst(simulator, database)

  expect(summary).toMatchObject({ status: 'partial', reason: 'more_stored_than_listed', removed: 0 })
})

test('an incremental run that meets an unsorted page makes the next one full', async () => {
  await using simulator = await startSimulator({ items: unsorted(620), rateLimit: 'off' })
  await loadTable(simulator, database)
  await noteSweep(database)

  const first = await runAgainst(simulator, database)
  const second = await runAgainst(simulator, database)

  expect(first.summary.mode).toBe('incremental')
  expect(first.warnings).toEqual([WARNING])
  expect(second.summary).toMatchObject({ mode: 'full', status: 'complete' })
})

test('a list that is sorted again is trusted again', async () => {
  {
    await using simulator = await startSimulator({ items: unsorted(320), rateLimit: 'off' })
    await runAgainst(simulator, database)
  }
  const sorted = Array.from({ length: 320 }, (_, index) => item(`new ${index}`, 20_000 - index))
  await database.sql('DELETE FROM spidra.batch_jobs')
  await using simulator = await startSimulator({ items: sorted, rateLimit: 'off' })
  expect((await runAgainst(simulator, database)).summary).toMatchObject({ mode: 'full', status: 'complete' })
  await noteSweep(database)

  expect(await runAgainst(simulator, database)).toMatchObject({ requests: 1, summary: { mode: 'incremental' } })
})

test('a job with another createdAt than the stored one: one warning, nothing removed in that run', async () => {
  await using simulator = await startSimulator({ jobs: 600, rateLimit: 'off', ties: 0 })
  await loadTable(simulator, database)
  const uuids = [...simulator.account.allUuids()]
  // Stored a minute off, so that the list itself stays sorted.
  const redated = uuids.slice(100, 103)
  await database.sql(
    `UPDATE spidra.batch_jobs SET created_at = created_at - interval '1 minute' WHERE uuid = ANY($1)`,
    [redated],
  )
  simulator.account.removeJob(uuids[400] ?? '')
  // Nothing searches for the difference before the pass, so that only its windows find it.
  await database.sql('UPDATE spidra.sync_state SET tried_difference = 1, loses_jobs = true')

  const first = await runAgainst(simulator, database, { mode: 'full', mayGo: () => false })
  const second = await runAgainst(simulator, database, { mode: 'full' })

  expect(first.warnings).toEqual([WARNING])
  expect(first.summary).toMatchObject({ status: 'partial', removed: 0, updated: 3 })
  expect(second.warnings).toEqual([])
  expect(second.summary).toMatchObject({ status: 'complete', removed: 1 })
})

test('a page that lists the same jobs in another order: one warning, nothing removed in that run', async () => {
  const jobs = Array.from({ length: 400 }, (_, index) => item(index, 1000 - Math.floor(index / 60)))
  const swapped = [jobs[1], jobs[0], ...jobs.slice(2)]
  await using plain = await startSimulator({ items: jobs, rateLimit: 'off' })
  await loadTable(plain, database)
  await using other = await startSimulator({ items: swapped, rateLimit: 'off' })
  let heads = 0
  await using simulator = await startSimulator({
    items: jobs,
    rateLimit: 'off',
    beforeAnswer({ page }) {
      if (page === 1) heads += 1
    },
  })
  // Of every two heads the second one is in another order: the first two jobs tie.
  const listText = simulator.account.listText
  Object.assign(simulator.account, {
    listText: (asked: { page: number; limit: number }) =>
      asked.page === 1 && heads % 2 === 0 ? other.account.listText(asked) : listText(asked),
  })
  await database.sql(
    `INSERT INTO spidra.batch_jobs (uuid, status, total_urls, completed_count, failed_count, created_at)
     SELECT $1::uuid, 'completed', 1, 1, 0, created_at - interval '0.5 s' FROM spidra.batch_jobs ORDER BY created_at LIMIT 1 OFFSET 200`,
    [uuidOf('gone')],
  )
  await makeSweepDue(database)

  const { summary, warnings } = await runAgainst(simulator, database, { mode: 'full' })

  expect(warnings).toEqual([WARNING])
  expect(summary).toMatchObject({ status: 'partial', removed: 0 })
})

test.each([
  ['emptyPage', 'page_faulty'],
  ['wrongPage', 'page_faulty'],
  ['duplicatedItems', 'page_faulty'],
] as const)('below a page that stays %s all is stored, however often the head is due', async (kind, reason) => {
  await using simulator = await startSimulator({ jobs: 3_000, rateLimit: 'off' })
  simulator.faults.next(kind, { page: 5, times: 1_000 })
  const onPage5 = new Set(simulator.account.list({ page: 5, limit: 50 }).jobs.map(({ uuid }) => uuid))

  const { summary } = await runAgainst(simulator, database, { timing: { refreshMs: 0 } })

  expect(summary).toMatchObject({ status: 'partial', reason })
  const stored = await storedUuids(database)
  expect([...simulator.account.allUuids()].filter((uuid) => !stored.has(uuid) && !onPage5.has(uuid))).toEqual([])

  simulator.faults.clear()
  expect((await runAgainst(simulator, database)).summary).toMatchObject({ status: 'complete', storedTotal: 3_000 })
})

test('a page of new jobs between two answers does not look like a server without overlapping pages', async () => {
  await using simulator = await startSimulator({ jobs: 3_000, rateLimit: 'off' })
  await loadTable(simulator, database)
  simulator.account.removeJob([...simulator.account.allUuids()].at(1_500) ?? '')
  expect((await runAgainst(simulator, database)).summary).toMatchObject({ status: 'complete', removed: 1 })
  const add = (count: number) => {
    for (let added = 0; added < count; added += 1) simulator.account.addJob({ status: 'completed' })
  }
  add(180)
  let isLate = false

  const { summary, warnings } = await runAgainst(simulator, database, {
    onPage({ number }) {
      if (number === 3 && !isLate) add(60)
      isLate ||= number === 3
    },
  })

  expect(isLate).toBe(true)
  expect(warnings).toEqual([])
  expect(summary).toMatchObject({ status: 'complete', storedTotal: 3_239 })
})

test.each(['first', 'later'])(
  'below a page that stays faulty, the head of a %s full pass is read again',
  async (pass) => {
    await using simulator = await startSimulator({ jobs: 3_000, rateLimit: 'off' })
    if (pass === 'later') await loadTable(simulator, database)
    simulator.faults.next('emptyPage', { page: 20, times: 1_000 })
    const stopping = new AbortController()
    let newJob = ''

    const { error } = await runAgainst(simulator, database, {
      mode: 'full',
      timing: { refreshMs: 0 },
      sizes: { ...SYNC_SIZES, minSlicePages: 5 },
      signal: stopping.signal,
      onPage({ number }) {
        if (number === 40 && newJob === '') newJob = simulator.account.addJob({ status: 'completed' }).uuid
        if (number === 55) stopping.abort()
      },
    })

    expect(error).not.toBeNull()
    expect(await storedUuids(database)).toContain(newJob)
  },
)

test.each(['first', 'later'])(
  'a page that is faulty for a while is read again in the same %s full pass',
  async (pass) => {
    await using simulator = await startSimulator({ jobs: 3_000, rateLimit: 'off' })
    if (pass === 'later') await loadTable(simulator, database)
    simulator.faults.next('emptyPage', { page: 20, times: 6 })

    const { summary, requests } = await runAgainst(simulator, database, { mode: 'full' })

    expect(summary).toMatchObject({ status: 'complete', storedTotal: 3_000 })
    expect(requests).toBeLessThan(60 + 25)
  },
)

test('a page that stays well-formed with a wrong total is joined by an overlap', async () => {
  await using simulator = await startSimulator({ jobs: 3_000, rateLimit: 'off' })
  simulator.faults.next('wrongTotal', { page: 5, times: 1_000 })

  const { summary } = await runAgainst(simulator, database, { timing: { refreshMs: 0 } })

  expect(summary).toMatchObject({ status: 'complete', storedTotal: 3_000 })
  expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
})
