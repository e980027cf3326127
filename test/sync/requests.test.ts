import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'
import { loadTable, noteSweep, type RunOptions, runAgainst, storedUuids } from '../support/sync-runner.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

const DONE = { status: 'completed' }

/** The same numbers in every test run, from 0 to less than 1. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

describe('of 100,000 jobs', () => {
  let database: TestDatabase
  let simulator: Simulator
  beforeAll(async () => {
    database = await createTestDatabase()
    simulator = await startSimulator({ jobs: 100_000, rateLimit: 'off' })
    await loadTable(simulator, database)
  }, 120_000)
  afterAll(async () => {
    await simulator?.close()
    await database?.[Symbol.asyncDispose]()
  })

  /** Some of the newest jobs have failures. */
  const NONE_YOUNG = { timing: { youngMs: 0 } }

  /** An incremental run in an hour that has had its slice of the sweep. It must end complete. */
  async function run(options: RunOptions = NONE_YOUNG) {
    await noteSweep(database)
    const outcome = await runAgainst(simulator, database, options)
    expect(outcome).toMatchObject({ error: null, summary: { mode: 'incremental', status: 'complete', openUnread: 0 } })
    expect(outcome.summary.storedTotal).toBe(simulator.account.total)
    return outcome
  }

  const removedJobs = () =>
    database.sql('SELECT uuid::text AS uuid FROM spidra.batch_jobs WHERE removed_at IS NOT NULL')
  const countsOf = (uuids: readonly string[]) =>
    database.sql<{ uuid: string; completedCount: number }>(
      `SELECT uuid::text AS uuid, completed_count AS "completedCount" FROM spidra.batch_jobs WHERE uuid = ANY($1)`,
      [uuids],
    )

  test('with nothing open and no slice due: one request a run', async () => {
    for (let round = 0; round < 3; round += 1) expect(await run()).toMatchObject({ requests: 1, pages: [1] })
  })

  test('new jobs that end before they are seen cost nothing more', async () => {
    for (let count = 0; count < 49; count += 1) simulator.account.addJob(DONE)

    expect(await run()).toMatchObject({ requests: 1, summary: { inserted: 49 } })
  })

  test.each([1, 2, 3])('five open ones at random depth: one request and one for each, all fresh (%i)', async (seed) => {
    const random = createRandom(seed)
    const uuids = [...simulator.account.allUuids()]
    const open = Array.from({ length: 5 }, () => uuids[Math.floor(random() * uuids.length)] ?? '')
    const requests: number[] = []
    let completedCount = 0

    async function runAndCompare(): Promise<void> {
      completedCount += 1
      for (const uuid of open) simulator.account.updateJob(uuid, { status: 'running', totalUrls: 50, completedCount })
      requests.push((await run()).requests)
      const stored = await countsOf(open)
      expect(stored.map((row) => row.completedCount)).toEqual(open.map(() => completedCount))
    }

    await database.sql(`UPDATE spidra.batch_jobs SET status = 'running' WHERE uuid = ANY($1)`, [open])
    for (let round = 0; round < 3; round += 1) await runAndCompare()
    for (let count = 0; count < 30; count += 1) simulator.account.addJob(DONE)
    await runAndCompare()
    await runAndCompare()

    for (const uuid of open) simulator.account.updateJob(uuid, DONE)
    requests.push((await run()).requests)
    expect(Math.max(...requests), requests.join()).toBeLessThanOrEqual(1 + 5)
    expect((await run()).requests).toBe(1)
  })

  test('a young one with failures is read like an open one, so that its retry is not missed', async () => {
    const ended = { status: 'completed', totalUrls: 5, completedCount: 4, failedCount: 1 }
    const { uuid } = simulator.account.addJob(ended)
    for (let count = 0; count < 100; count += 1) simulator.account.addJob(DONE)
    await run()
    simulator.account.updateJob(uuid, { completedCount: 5, failedCount: 0 })

    expect(await run()).toMatchObject({ requests: 1 })
    expect(await countsOf([uuid])).toEqual([{ uuid, completedCount: 4 }])
    const { requests } = await run({})
    expect(requests).toBeLessThanOrEqual(1 + 2)
    expect(await countsOf([uuid])).toEqual([{ uuid, completedCount: 5 }])
  })

  test('a retry in a long time without a run is not missed either', async () => {
    const { uuid } = simulator.account.addJob({ status: 'failed', totalUrls: 5, completedCount: 0, failedCount: 5 })
    for (let count = 0; count < 100; count += 1) simulator.account.addJob(DONE)
    await run()
    simulator.account.updateJob(uuid, { status: 'completed', completedCount: 5, failedCount: 0 })
    await database.sql(`UPDATE spidra.sync_state SET last_complete_at = last_complete_at - interval '1 minute'`)

    await run()

    expect(await countsOf([uuid])).toEqual([{ uuid, completedCount: 5 }])
    expect(await run()).toMatchObject({ requests: 1 })
  })

  test('one removed at the tail: the last page and a closing head more', async () => {
    const last = [...simulator.account.allUuids()].at(-1) ?? ''
    simulator.account.removeJob(last)
    const lastPage = Math.ceil(simulator.account.total / 50)

    const { requests, pages, summary } = await run()

    expect({ requests, pages, removed: summary.removed }).toEqual({ requests: 3, pages: [1, lastPage, 1], removed: 1 })
    expect(await removedJobs()).toContainEqual({ uuid: last })
    expect((await run()).requests).toBe(1)
  })

  test.each([1, 2, 3])('one removed anywhere among 2,000 pages: at most 20 more (%i)', async (seed) => {
    const uuids = [...simulator.account.allUuids()]
    const uuid = uuids[Math.floor(createRandom(seed * 977)() * uuids.length)] ?? ''
    simulator.account.removeJob(uuid)

    const { requests, summary } = await run()

    expect(requests).toBeLessThanOrEqual(1 + 20)
    expect(summary.removed).toBe(1)
    expect(await removedJobs()).toContainEqual({ uuid })
  })

  test('three removed in different places at once: each is found', async () => {
    const uuids = [...simulator.account.allUuids()]
    const gone = [0.11, 0.52, 0.93].map((depth) => uuids[Math.floor(depth * uuids.length)] ?? '')
    for (const uuid of gone) simulator.account.removeJob(uuid)

    const { requests, summary } = await run()

    expect(summary.removed).toBe(3)
    for (const uuid of gone) expect(await removedJobs()).toContainEqual({ uuid })
    expect(requests).toBeLessThanOrEqual(1 + 3 * 20)
  })

  test.each([0.1, 0.4, 0.9])('a job that leaves at %d during the search misleads it only once', async (depth) => {
    const uuids = [...simulator.account.allUuids()]
    const at = (share: number) => uuids[Math.floor(share * uuids.length)] ?? ''
    for (const share of [0.3, 0.6]) simulator.account.removeJob(at(share))
    let pagesRead = 0

    const { requests, summary } = await run({
      ...NONE_YOUNG,
      onPage() {
        pagesRead += 1
        if (pagesRead === 8) simulator.account.removeJob(at(depth))
      },
    })

    expect(summary.removed).toBe(3)
    expect(requests).toBeLessThanOrEqual(1 + 5 * 20)
  })

  test('twenty removed in different places: at most twelve requests for each', async () => {
    const uuids = [...simulator.account.allUuids()]
    const random = createRandom(7)
    const gone = new Set<string>()
    while (gone.size < 20) gone.add(uuids[Math.floor(random() * uuids.length)] ?? '')
    for (const uuid of gone) simulator.account.removeJob(uuid)

    const { requests, summary } = await run({ ...NONE_YOUNG, pagesPerRun: 2_000 })

    expect(summary.removed).toBe(20)
    expect(requests).toBeLessThanOrEqual(20 * 12)
  })

  test('a search that is cut off keeps what it found, and the new jobs that came meanwhile', async () => {
    const uuids = [...simulator.account.allUuids()]
    const gone = [0.1, 0.3, 0.5, 0.7, 0.9].map((depth) => uuids[Math.floor(depth * uuids.length)] ?? '')
    for (const uuid of gone) simulator.account.removeJob(uuid)
    const stopping = new AbortController()
    let pagesRead = 0
    let newJob = ''
    await noteSweep(database)

    const { error } = await runAgainst(simulator, database, {
      timing: { ...NONE_YOUNG.timing, refreshMs: 0 },
      signal: stopping.signal,
      onPage() {
        pagesRead += 1
        if (pagesRead === 10) newJob = simulator.account.addJob(DONE).uuid
        if (pagesRead === 60) stopping.abort()
      },
    })

    expect(error).not.toBeNull()
    const removed = (await removedJobs()).map(({ uuid }) => uuid)
    expect(gone.filter((uuid) => removed.includes(uuid)).length).toBeGreaterThanOrEqual(2)
    expect(await countsOf([newJob])).toHaveLength(1)
    await run()
    expect((await removedJobs()).map(({ uuid }) => uuid)).toEqual(expect.arrayContaining(gone))
  })

  test('without budget to spare: neither sweep nor open jobs, but the head', async () => {
    await database.sql(`UPDATE spidra.sync_state SET last_sweep_at = NULL`)
    const deep = [...simulator.account.allUuids()].at(50_000) ?? ''
    await database.sql(`UPDATE spidra.batch_jobs SET status = 'running' WHERE uuid = $1`, [deep])

    const { requests, summary } = await runAgainst(simulator, database, { mayGo: () => false, ...NONE_YOUNG })

    expect(requests).toBe(1)
    expect(summary).toMatchObject({ status: 'complete', openUnread: 1 })
    expect(await database.sql('SELECT last_sweep_at FROM spidra.sync_state')).toEqual([{ last_sweep_at: null }])
    await run()
  })

  test('without budget to spare: a removed job is looked for all the same, rather than by reading the whole list', async () => {
    const uuid = [...simulator.account.allUuids()].at(1_234) ?? ''
    simulator.account.removeJob(uuid)

    const { requests, summary } = await runAgainst(simulator, database, { mayGo: () => false, ...NONE_YOUNG })

    expect(requests).toBeLessThanOrEqual(1 + 20)
    expect(summary).toMatchObject({ status: 'complete', removed: 1 })
    expect(await removedJobs()).toContainEqual({ uuid })
  })
})

describe('of a small account', () => {
  async function runsOf(options: SimulatorOptions) {
    await using database = await createTestDatabase()
    await using simulator = await startSimulator({ rateLimit: 'off', ...options })
    const runs = []
    for (let round = 0; round < 3; round += 1) runs.push(await runAgainst(simulator, database))
    for (const { summary } of runs) expect(summary.status).toBe('complete')
    expect(await storedUuids(database)).toEqual(new Set(simulator.account.allUuids()))
    return runs
  }

  test.each([0, 1])('nothing listed, said to be %i pages: one request a run', async (totalPagesWhenEmpty) => {
    const runs = await runsOf({ jobs: 0, totalPagesWhenEmpty: totalPagesWhenEmpty === 0 ? 0 : 1 })
    expect(runs.map(({ requests }) => requests)).toEqual([1, 1, 1])
  })

  test.each([1, 50])('one page of %i jobs: one request a run', async (jobs) => {
    expect((await runsOf({ jobs })).map(({ requests }) => requests)).toEqual([1, 1, 1])
  })

  test.each([51, 200])('up to four pages (%i jobs): read whole in every run, and the head again', async (jobs) => {
    const pages = [...Array.from({ length: Math.ceil(jobs / 50) }, (_, index) => index + 1), 1]
    // A first pass over few pages asks for page 1 twice, to tell one list from two.
    expect((await runsOf({ jobs })).map((run) => run.pages)).toEqual([[...pages, 1], pages, pages])
  })

  test('five pages: read whole once, then the head and the slice of the hour', async () => {
    const [first, ...next] = await runsOf({ jobs: 201 })
    expect(first?.pages).toEqual([1, 2, 3, 4, 5, 1, 1])
    expect(next.map((run) => run.pages)).toEqual([[1], [1]])
  })
})
