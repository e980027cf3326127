import { describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import { item } from '../support/pages.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { loadTable, noteSweep, runAgainst, storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

const MODES = ['incremental', 'full'] as const

async function expectSameSet({ account }: Simulator): Promise<void> {
  expect(await storedUuids(database)).toEqual(new Set(account.allUuids()))
}

function addJobs({ account }: Simulator, count: number, fields: Readonly<Record<string, unknown>> = {}): void {
  for (let added = 0; added < count; added += 1) account.addJob({ status: 'completed', ...fields })
}

function removeAt({ account }: Simulator, ...places: readonly number[]): void {
  const uuids = [...account.allUuids()]
  for (const place of places) account.removeJob(uuids.at(place) ?? '')
}

test.each(MODES)('ties longer than three pages at the head, a third of them stored, are climbed (%s)', async (mode) => {
  await using simulator = await startSimulator({ jobs: 400, rateLimit: 'off' })
  const createdAt = new Date(Date.now() + 60_000).toISOString()
  addJobs(simulator, 90, { createdAt })
  await runAgainst(simulator, database)
  addJobs(simulator, 180, { createdAt })

  const { summary } = await runAgainst(simulator, database, { mode })

  expect(summary).toMatchObject({ status: 'complete', inserted: 180, storedTotal: 670 })
  await expectSameSet(simulator)
})

test.each(MODES)('a tie that grows while the climb reads it is complete once it rests (%s)', async (mode) => {
  const createdAt = new Date(Date.now() + 60_000).toISOString()
  let isMoving = false
  await using simulator = await startSimulator({
    jobs: 400,
    rateLimit: 'off',
    beforeAnswer: () => (isMoving ? addJobs(simulator, 7, { createdAt }) : undefined),
  })
  addJobs(simulator, 60, { createdAt })
  await runAgainst(simulator, database)
  addJobs(simulator, 120, { createdAt })
  isMoving = true
  const moving = await runAgainst(simulator, database, { mode, signal: AbortSignal.timeout(20_000) })
  isMoving = false
  expect(moving.summary.status).not.toBe('aborted')

  expect((await runAgainst(simulator, database)).summary.status).toBe('complete')
  await expectSameSet(simulator)
})

test.each(MODES)(
  'the newest job, removed a moment after it was stored, is found once others have come (%s)',
  async (mode) => {
    await using simulator = await startSimulator({ jobs: 400, rateLimit: 'off', ties: 0 })
    await runAgainst(simulator, database)
    addJobs(simulator, 3)
    await runAgainst(simulator, database)
    removeAt(simulator, 0)
    const soon = await runAgainst(simulator, database, { mode })
    expect(soon.summary.status).toBe('partial')
    addJobs(simulator, 60)

    const { summary } = await runAgainst(simulator, database, { mode: 'full' })

    expect(summary).toMatchObject({ status: 'complete', removed: 1, inserted: 60 })
    await expectSameSet(simulator)
  },
)

test.each(MODES)(
  'an account that shrinks from ten pages to one waits for acceptance, and may grow again (%s)',
  async (mode) => {
    await using simulator = await startSimulator({ jobs: 500, rateLimit: 'off' })
    await runAgainst(simulator, database)
    for (const uuid of [...simulator.account.allUuids()].slice(30)) simulator.account.removeJob(uuid)
    const refused = await runAgainst(simulator, database, { mode })
    expect(refused.summary).toMatchObject({ status: 'partial', reason: 'mass_removal', removed: 0 })
    const accepted = await runAgainst(simulator, database, { mode: 'full', acceptRemovals: true })
    expect(accepted.summary).toMatchObject({ status: 'complete', removed: 470, storedTotal: 30 })
    addJobs(simulator, 170)

    const { summary } = await runAgainst(simulator, database, { mode })

    expect(summary).toMatchObject({ status: 'complete', inserted: 170 })
    await expectSameSet(simulator)
  },
)

test.each(MODES)('a list that is emptied and filled anew waits for acceptance (%s)', async (mode) => {
  await using simulator = await startSimulator({ jobs: 260, rateLimit: 'off' })
  await runAgainst(simulator, database)
  for (const uuid of [...simulator.account.allUuids()]) simulator.account.removeJob(uuid)
  expect((await runAgainst(simulator, database, { mode })).summary.reason).toBe('mass_removal')
  addJobs(simulator, 130)
  const refused = await runAgainst(simulator, database, { mode })
  expect(refused.summary).toMatchObject({ reason: 'mass_removal', inserted: 0, removed: 0 })

  const { summary } = await runAgainst(simulator, database, { mode: 'full', acceptRemovals: true })

  expect(summary).toMatchObject({ status: 'complete', inserted: 130, removed: 260 })
  await expectSameSet(simulator)
})

test.each(MODES)('what retention removed while nothing ran is found, newcomers too (%s)', async (mode) => {
  await using simulator = await startSimulator({ jobs: 2_000, rateLimit: 'off' })
  await loadTable(simulator, database)
  for (const uuid of [...simulator.account.allUuids()].slice(1_800)) simulator.account.removeJob(uuid)
  addJobs(simulator, 130)

  const { summary } = await runAgainst(simulator, database, { mode })

  expect(summary).toMatchObject({ status: 'complete', removed: 200, inserted: 130 })
  await expectSameSet(simulator)
})

test.each(MODES)('jobs that vanish during the climb leave nothing wrong behind (%s)', async (mode) => {
  let requests = 0
  let isMoving = false
  await using simulator = await startSimulator({
    jobs: 600,
    rateLimit: 'off',
    beforeAnswer() {
      if (!isMoving) return
      requests += 1
      removeAt(simulator, (requests * 37) % 200)
      if (requests % 2 === 0) addJobs(simulator, 1)
    },
  })
  await runAgainst(simulator, database)
  addJobs(simulator, 170)
  isMoving = true
  const moving = await runAgainst(simulator, database, { mode, signal: AbortSignal.timeout(20_000) })
  isMoving = false
  expect(moving.summary.status).not.toBe('aborted')

  const { summary } = await runAgainst(simulator, database, { mode: 'full', timing: { staleAnswerMs: 0 } })

  expect(summary).toMatchObject({ status: 'complete', storedTotal: simulator.account.total })
  await expectSameSet(simulator)
})

test.each(MODES)(
  'rejected newcomers, single ones at seams and a whole page of them, hide nothing (%s)',
  async (mode) => {
    const items = (from: number, count: number, fields = {}) =>
      Array.from({ length: count }, (_, index) => item(from - index, from - index, fields))
    const bad = { status: 7 }
    const old = items(1_000, 400)
    {
      await using before = await startSimulator({ items: old, rateLimit: 'off' })
      expect((await runAgainst(before, database)).summary.status).toBe('complete')
    }
    const newcomers = [
      ...items(1_200, 1, bad),
      ...items(1_199, 48),
      ...items(1_151, 3, bad),
      ...items(1_148, 45),
      ...items(1_103, 53, bad),
      ...items(1_050, 50),
    ]
    await using simulator = await startSimulator({ items: [...newcomers, ...old], rateLimit: 'off' })

    const { summary } = await runAgainst(simulator, database, { mode })

    expect(summary).toMatchObject({
      status: 'complete',
      inserted: 143,
      rejected: 57,
      listedTotal: 600,
      storedTotal: 600,
    })
    expect((await storedUuids(database)).size).toBe(543)
    await noteSweep(database)
    expect(await runAgainst(simulator, database)).toMatchObject({ requests: 1, summary: { status: 'complete' } })
  },
)

test('a whole page of rejected items is no evidence that the jobs below it are gone', async () => {
  const items = (change: Readonly<Record<string, unknown>>) =>
    Array.from({ length: 620 }, (_, index) => item(index, 10_000 - index, index >= 250 && index < 300 ? change : {}))
  {
    await using before = await startSimulator({ items: items({}), rateLimit: 'off' })
    await loadTable(before, database)
  }
  // The sixth page: a full run compares the table with what the first six pages list.
  await using simulator = await startSimulator({ items: items({ status: 7 }), rateLimit: 'off' })

  const { summary } = await runAgainst(simulator, database, { mode: 'full' })

  expect(summary).toMatchObject({ status: 'complete', removed: 0, rejected: 50, storedTotal: 620 })
  expect(await database.sql('SELECT loses_jobs FROM spidra.sync_state')).toEqual([{ loses_jobs: false }])
})

describe('a server that answers a page after the end with 404', () => {
  const NOT_FOUND = { rateLimit: 'off', pastEnd: 'not_found' } as const

  test.each(['none', 'whole'] as const)(
    'is read to the end of a list that shrinks (stored before: %s)',
    async (stored) => {
      let isWhole = true
      await using simulator = await startSimulator({
        ...NOT_FOUND,
        jobs: 255,
        beforeAnswer({ page }) {
          if (page !== 6 || !isWhole) return
          isWhole = false
          removeAt(simulator, 5, 20, 60, 110, 150, 160, 170)
        },
      })
      if (stored === 'whole') await loadTable(simulator, database)
      const { summary, error } = await runAgainst(simulator, database, { mode: 'full' })

      expect(simulator.requests.map(({ status }) => status)).toContain(404)
      expect({ error, status: summary.status }).toEqual({ error: null, status: 'complete' })
      await expectSameSet(simulator)
    },
  )

  test('fails a run where the page is inside the list', async () => {
    await using simulator = await startSimulator({
      ...NOT_FOUND,
      jobs: 255,
      beforeAnswer({ number }) {
        if (number === 3) removeAt(simulator, ...Array.from({ length: 200 }, (_, place) => place + 55))
        if (number === 4) addJobs(simulator, 200)
      },
    })
    const { summary, error } = await runAgainst(simulator, database, { mode: 'full' })

    expect(summary.status).toBe('failed')
    expect(error).toMatchObject({ code: 'rejected', status: 404 })
  })
})
