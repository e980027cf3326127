import { beforeAll, describe, expect, test } from 'vitest'
import { scaleTiming, TIMING } from '../../src/config/scale.js'
import { createSharedBudget } from '../../src/service/account-run.js'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import type { ResultsOptions } from '../../src/sync/read-results.js'
import { batchRequests, expectAllStored, listedItems, storedItems } from '../support/batch-items.js'
import { loadTable, runAgainst } from '../support/sync-runner.js'
import { createTestDatabase, type TestDatabase } from '../support/test-database.js'

const ITEMS: ResultsOptions = { mode: 'items', perRun: 1_000, mayRead: () => true }
const FULL: ResultsOptions = { ...ITEMS, mode: 'full' }
const MANUAL = { rateLimit: 'off', arrivalsPerMinute: 0 } as const

/** Calls `onAsk` each time that the run asks whether it may read, with the number of the call. */
const asking = (onAsk: (asked: number) => void, perRun = ITEMS.perRun): ResultsOptions => {
  let asked = 0
  return {
    ...{ ...ITEMS, perRun },
    mayRead: () => {
      asked += 1
      onAsk(asked)
      return true
    },
  }
}

const readings = ({ sql }: TestDatabase) =>
  sql<{ uuid: string; outcome: string; reason: string | null; items: number }>(
    'SELECT uuid::text AS uuid, outcome, reason, items FROM spidra.batch_reads ORDER BY uuid',
  )

async function dueCount({ sql }: TestDatabase): Promise<number> {
  const [row] = await sql<{ due: number }>('SELECT count(*)::integer AS due FROM spidra.results_due')
  return row?.due ?? -1
}

test('a run stores the items of every ended job, and the next one asks for none', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 60, ...MANUAL })

  expect((await runAgainst(api, database, { results: ITEMS })).summary.status).toBe('complete')
  await expectAllStored(api, database, false)
  expect(batchRequests(api)).toBe(60)
  expect([await dueCount(database), new Set((await readings(database)).map(({ outcome }) => outcome))]).toEqual([
    0,
    new Set(['complete']),
  ])
  expect((await runAgainst(api, database, { results: ITEMS })).summary.status).toBe('complete')
  expect(batchRequests(api)).toBe(60)

  const items = [...listedItems(api).values()]
  const [cost] = await database.sql<{ urls: number; credits: number }>(
    'SELECT sum(urls)::integer AS urls, sum(credits) AS credits FROM spidra_reporting.daily_credits',
  )
  expect(cost).toEqual({ urls: items.length, credits: items.reduce((sum, { creditsUsed }) => sum + creditsUsed, 0) })
  const [failing] = await database.sql<{ urls: number }>(
    "SELECT count(*)::integer AS urls FROM spidra_reporting.batch_items WHERE outcome = 'failed' AND host LIKE '%.example.%'",
  )
  expect(failing?.urls).toBe(items.filter(({ status }) => status === 'failed').length)
})

test('with full, results are stored too: objects and lists as jsonb, Markdown as text', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 40, ...MANUAL })

  await runAgainst(api, database, { results: FULL })
  await expectAllStored(api, database, true)
  const kinds = (await storedItems(database)).map(({ result, text }) => [typeof result, typeof text].join())
  expect(new Set(kinds).size).toBeGreaterThan(1)
})

test('without it no item is requested, and nothing is noted', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 10, ...MANUAL })

  await runAgainst(api, database)
  expect([batchRequests(api), await dueCount(database)]).toEqual([0, 0])
})

test('without it no statement names its tables', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 120, ...MANUAL })
  await database.sql(
    `DROP TABLE spidra.results_due, spidra.batch_reads, spidra.batch_items, spidra.batch_results CASCADE`,
  )

  for (const mode of ['full', 'incremental', 'full'] as const) {
    const { summary, warnings } = await runAgainst(api, database, { mode })
    expect([summary.status, warnings]).toEqual(['complete', []])
    const [uuid = ''] = api.account.allUuids()
    api.account.updateJob(uuid, { status: mode === 'full' ? 'failed' : 'completed' })
  }
})

test('switched on later, all stored jobs are read; from items to full, all are read again; off and on, what changed meanwhile', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 30, ...MANUAL })
  await runAgainst(api, database)

  await runAgainst(api, database, { results: ITEMS })
  expect(batchRequests(api)).toBe(30)
  await runAgainst(api, database, { results: FULL })
  expect(batchRequests(api)).toBe(60)
  await expectAllStored(api, database, true)

  const [uuid = ''] = [...api.account.allUuids()].filter((one) => api.account.job(one)?.status === 'completed')
  api.account.updateJob(uuid, { failedCount: 1 })
  await runAgainst(api, database, { mode: 'full' })
  expect([batchRequests(api), await dueCount(database)]).toEqual([60, 0])
  await runAgainst(api, database, { results: FULL })
  expect(batchRequests(api)).toBe(61)
  await expectAllStored(api, database, true)
})

test('sync_freshness says how many batches are due, and as of when all of them had been read', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 30, ...MANUAL })
  const freshness = async () => {
    const [row] = await database.sql<{ due: number | null; all: Date | null; complete: Date }>(
      `SELECT results_due::integer AS due, results_complete_as_of AS all, complete_as_of AS complete
       FROM spidra_reporting.sync_freshness`,
    )
    return row ?? { due: -1, all: null, complete: new Date(0) }
  }
  const twenty = { results: { ...ITEMS, perRun: 20 } }
  const none = { results: { ...ITEMS, mayRead: () => false } }
  await runAgainst(api, database)
  expect(await freshness()).toMatchObject({ due: null, all: null })

  // Switched on, and not one request allowed: no stored job has been compared.
  await runAgainst(api, database, none)
  expect(await freshness()).toMatchObject({ due: 30, all: null })
  await runAgainst(api, database, twenty)
  expect(await freshness()).toMatchObject({ due: 10, all: null })
  await runAgainst(api, database, twenty)
  const first = await freshness()
  expect(first).toMatchObject({ due: 0, all: first.complete })

  // A job that has not ended is not due.
  const { uuid } = api.account.addJob({ status: 'running', totalUrls: 10 })
  await runAgainst(api, database, none)
  const second = await freshness()
  expect(second).toMatchObject({ due: 0, all: second.complete })
  expect(second.complete.getTime()).toBeGreaterThan(first.complete.getTime())
  api.account.updateJob(uuid, { status: 'completed', completedCount: 10 })
  await runAgainst(api, database, none)
  await runAgainst(api, database, none)
  expect(await freshness()).toMatchObject({ due: 1, all: second.complete })

  // A run that fails before it stores anything leaves nothing to be compared.
  api.faults.next('http402')
  expect((await runAgainst(api, database, none)).summary.status).toBe('failed')
  expect(await freshness()).toMatchObject({ due: 1, all: second.complete })

  // While it is off, nothing is said of results, and what had been said is still true afterwards.
  await runAgainst(api, database)
  expect(await freshness()).toMatchObject({ due: null, all: null })
  await runAgainst(api, database, none)
  expect(await freshness()).toMatchObject({ due: 31, all: second.complete })
  await runAgainst(api, database, { results: { ...none.results, mode: 'full' } })
  expect(await freshness()).toMatchObject({ due: 31, all: null })
  await runAgainst(api, database, { results: FULL })
  const last = await freshness()
  expect(last).toMatchObject({ due: 0, all: last.complete })
})

test('no item is read where the runs until the end of the window need the requests', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 60, ...MANUAL })
  const windowRest = () => ({ requests: 15, share: 20, endsInMs: 10_000 })
  await runAgainst(api, database)

  await runAgainst(api, database, { results: ITEMS, windowRest, timing: { refreshMs: 1_000 } })
  expect(batchRequests(api)).toBe(0)
  await runAgainst(api, database, { results: ITEMS, windowRest, timing: { refreshMs: 5_000 } })
  expect(batchRequests(api)).toBe(60)
})

test('a job that has left the list, or runs again, does not count as due', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 30, ...MANUAL })
  await runAgainst(api, database, { results: { ...ITEMS, perRun: 1 } })
  const [, , gone = '', again = ''] = [...api.account.allUuids()]
  api.account.removeJob(gone)
  api.account.updateJob(again, { status: 'running', finishedAt: null })

  await runAgainst(api, database, { mode: 'full', results: { ...ITEMS, mayRead: () => false } })

  expect(await dueCount(database)).toBe(29)
  expect(await database.sql('SELECT results_due::integer AS due FROM spidra_reporting.sync_freshness')).toEqual([
    { due: 27 },
  ])
})

test('switched off and on while most are due, the next run knows how many are due', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 60, ...MANUAL })
  const some: ResultsOptions = { ...ITEMS, perRun: 20 }

  for (const results of [some, null, some]) await runAgainst(api, database, { results })
  const freshness = await database.sql('SELECT results_due::integer AS due FROM spidra_reporting.sync_freshness')

  expect([batchRequests(api), freshness]).toEqual([40, [{ due: 20 }]])
})

test('the newest are read first, at most so many a run, and nothing is read twice after a death', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 50, ...MANUAL })
  const newest = [...api.account.allUuids()]
  const dying = asking((asked) => {
    if (asked > 8) throw new Error('the process died')
  }, 20)

  await runAgainst(api, database, { results: dying })
  expect((await readings(database)).map(({ uuid }) => uuid).sort()).toEqual(newest.slice(0, 7).sort())
  await runAgainst(api, database, { results: { ...ITEMS, perRun: 20 } })
  await runAgainst(api, database, { results: { ...ITEMS, perRun: 20 } })
  await runAgainst(api, database, { results: { ...ITEMS, perRun: 20 } })
  expect([batchRequests(api), await dueCount(database)]).toEqual([50, 0])
  await expectAllStored(api, database, false)
})

test('a full pass that waits for windows reads items at each head, and leaves the list at least half of each window', async () => {
  await using database = await createTestDatabase()
  const [limit, windowMs] = [80, 1_500]
  await using api = await startSimulator({ jobs: 4_000, ...MANUAL, rateLimit: { limit, windowMs, reset: 'epochMs' } })
  await loadTable(api, database)
  const timing = { ...scaleTiming(TIMING, windowMs / 900_000), refreshMs: windowMs }
  const { budget, ...shared } = createSharedBudget({
    timing,
    rateLimit: { requests: limit, windowSeconds: windowMs / 1_000, reserve: 0.5 },
  })
  const mayRead = () => budget.mayGo() && (budget.rest()?.requests ?? 0) > (budget.rest()?.share ?? 0) / 2

  const { summary } = await runAgainst(api, database, {
    ...{ mode: 'full', timing, windowRest: budget.rest, sharedBudget: { budget, ...shared } },
    results: { ...ITEMS, perRun: 10, mayRead },
  })

  expect(summary).toMatchObject({ status: 'complete', mode: 'full' })
  const lastPage = api.requests.findLastIndex(({ batch }) => batch === null)
  const between = api.requests.slice(0, lastPage).filter(({ batch }) => batch !== null)
  expect(between.length).toBeGreaterThanOrEqual(10)
  const windows = Math.ceil(api.requests.length / (limit / 2))
  expect(between.length).toBeLessThanOrEqual(windows * 10)
  expect((await readings(database)).length).toBe(batchRequests(api))
})

test('a run that is not complete reads no items', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 30, ...MANUAL })
  api.faults.next('wrongTotal', { times: 50, page: 1 })

  const { summary } = await runAgainst(api, database, { results: ITEMS, mode: 'full' })
  expect([summary.status, batchRequests(api)]).toEqual(['partial', 0])
})

test('a job that is retried is read again once it has ended, and only its changed items are written', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 5, ...MANUAL })
  const { uuid } = api.account.addJob({ status: 'completed', totalUrls: 10, failedCount: 3 })
  await runAgainst(api, database, { results: ITEMS })
  const before = await database.sql<{ uuid: string; at: string }>(
    'SELECT uuid::text AS uuid, updated_at::text AS at FROM spidra.batch_items',
  )

  api.account.updateJob(uuid, { status: 'running', completedCount: 7, failedCount: 0 })
  await runAgainst(api, database, { results: ITEMS })
  expect(batchRequests(api)).toBe(6)
  api.account.updateJob(uuid, { status: 'completed', failedCount: 1 })
  await runAgainst(api, database, { results: ITEMS })
  expect(batchRequests(api)).toBe(7)
  await expectAllStored(api, database, false)
  const after = await database.sql<{ uuid: string; at: string }>(
    'SELECT uuid::text AS uuid, updated_at::text AS at FROM spidra.batch_items',
  )
  const times = new Map(before.map((item) => [item.uuid, item.at]))
  expect(after.filter((item) => times.get(item.uuid) !== item.at)).toHaveLength(2)
})

describe('an answer that is odd', () => {
  let database: TestDatabase
  let api: Simulator
  const uuidOf = new Map<string, string>()
  /** Each batch, and the fields of its answer. */
  const ODD: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    fewItems: { items: [] },
    counts: { completedCount: 1 },
    noCounts: { totalUrls: 'two', completedCount: undefined },
    shapes: {
      totalUrls: 9,
      completedCount: 6,
      failedCount: 0,
      items: [
        {
          uuid: '7F000000-0000-4000-8000-000000000001',
          url: 'HTTPS://User@Shop.Example.COM:8443/x?y#z',
          status: 'completed',
          result: { a: 1 },
          creditsUsed: 1.25,
          note: 'new',
        },
        { uuid: null, url: 5, status: 'completed', result: [1, 2], creditsUsed: 'three' },
        { url: 'no url', status: 'completed', result: 17 },
        { uuid: '7f000000-0000-4000-8000-000000000004', status: 'completed', result: 'a \u0000 and \ud800' },
        { uuid: '7f000000-0000-4000-8000-000000000005', status: 'completed', result: { text: 'a \u0000' } },
        { uuid: '7f000000-0000-4000-8000-000000000001', status: 'completed', result: 'the uuid of another item' },
        { uuid: '7f000000-0000-4000-8000-000000000007', status: 'sleeping', error: 'a \u0000', startedAt: 'yesterday' },
        null,
        'text',
      ],
    },
  }

  beforeAll(async () => {
    database = await createTestDatabase()
    api = await startSimulator({ ...MANUAL })
    for (const [name, patch] of Object.entries(ODD)) {
      const ofList = name === 'shapes' ? { totalUrls: 9, completedCount: 6, failedCount: 0 } : { totalUrls: 2 }
      const { uuid } = api.account.addJob({ status: 'completed', ...ofList })
      uuidOf.set(name, uuid)
      api.account.patchBatch(uuid, patch)
    }
    await runAgainst(api, database, { results: FULL })
    return async () => {
      await api.close()
      await database[Symbol.asyncDispose]()
    }
  })

  test('is stored, marked and asked for again when its numbers contradict it', async () => {
    const outcomes = new Map((await readings(database)).map(({ uuid, ...reading }) => [uuid, reading]))
    const of = (name: string) => outcomes.get(uuidOf.get(name) ?? '')
    expect(of('fewItems')).toEqual({
      outcome: 'incomplete',
      reason: '0 items, where 2 are counted; 0 completed items, where 2 are counted',
      items: 0,
    })
    expect(of('counts')).toEqual({
      outcome: 'incomplete',
      reason: '2 completed items, where 1 are counted; 1 completed items, where 2 are counted',
      items: 2,
    })
    expect(of('noCounts')?.reason).toMatch(
      /^2 items, where none are counted; 2 completed items, where none are counted; no number of /,
    )
    expect(of('shapes')).toEqual({ outcome: 'complete', reason: null, items: 9 })
    expect(await dueCount(database)).toBe(3)
  })

  test('keeps every value, whatever its type', async () => {
    const items = (await storedItems(database)).filter(({ batch }) => batch === uuidOf.get('shapes'))
    expect(items.map(({ batch: _, uuid: __, ...item }) => item)).toEqual([
      {
        position: 0,
        url: 'HTTPS://User@Shop.Example.COM:8443/x?y#z',
        host: 'shop.example.com',
        status: 'completed',
        error: null,
        credits: 1.25,
        extra: { note: 'new' },
        result: { a: 1 },
        text: null,
      },
      {
        position: 1,
        url: null,
        host: null,
        status: 'completed',
        error: null,
        credits: null,
        extra: { url: 5, creditsUsed: 'three' },
        result: [1, 2],
        text: null,
      },
      {
        position: 2,
        url: 'no url',
        host: null,
        status: 'completed',
        error: null,
        credits: null,
        extra: null,
        result: 17,
        text: null,
      },
      {
        position: 3,
        url: null,
        host: null,
        status: 'completed',
        error: null,
        credits: null,
        extra: null,
        result: null,
        text: '"a \\u0000 and \\ud800"',
      },
      {
        position: 4,
        url: null,
        host: null,
        status: 'completed',
        error: null,
        credits: null,
        extra: null,
        result: null,
        text: '{"text":"a \\u0000"}',
      },
      {
        position: 5,
        url: null,
        host: null,
        status: 'completed',
        error: null,
        credits: null,
        extra: null,
        result: null,
        text: 'the uuid of another item',
      },
      {
        position: 6,
        url: null,
        host: null,
        status: 'sleeping',
        error: null,
        credits: null,
        extra: { error: 'a \ufffd', startedAt: 'yesterday' },
        result: null,
        text: null,
      },
      {
        position: 7,
        url: null,
        host: null,
        status: 'unknown',
        error: null,
        credits: null,
        extra: { item: null },
        result: null,
        text: null,
      },
      {
        position: 8,
        url: null,
        host: null,
        status: 'unknown',
        error: null,
        credits: null,
        extra: { item: 'text' },
        result: null,
        text: null,
      },
    ])
    expect(new Set(items.map(({ uuid }) => uuid)).size).toBe(9)
  })

  test('is given up after five attempts', async () => {
    for (let attempt = 2; attempt <= 5; attempt += 1) {
      await database.sql('UPDATE spidra.results_due SET not_before = now()')
      await runAgainst(api, database, { results: FULL })
    }
    expect(await dueCount(database)).toBe(0)
    expect(batchRequests(api)).toBe(4 + 4 * 3)
    expect((await storedItems(database)).length).toBe(0 + 2 + 2 + 9)
  })
})

test('items that an answer no longer has are marked, and those of an incomplete answer stay', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ ...MANUAL })
  const { uuid } = api.account.addJob({ status: 'completed', totalUrls: 4 })
  await runAgainst(api, database, { results: ITEMS })

  api.account.patchBatch(uuid, { items: [] })
  api.account.updateJob(uuid, { failedCount: 1 })
  await runAgainst(api, database, { results: ITEMS, mode: 'full' })
  expect(await storedItems(database)).toHaveLength(4)
  api.account.patchBatch(uuid, { totalUrls: 0, completedCount: 0, failedCount: 0 })
  api.account.updateJob(uuid, { totalUrls: 0, completedCount: 0, failedCount: 0 })
  await database.sql('UPDATE spidra.results_due SET not_before = NULL')
  await runAgainst(api, database, { results: ITEMS, mode: 'full' })
  expect(await storedItems(database)).toHaveLength(0)
})

test('a batch that the API does not know is gone, a failing one is put off, and both do not fail the run', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 4, ...MANUAL })
  const [, , , oldest = ''] = api.account.allUuids()
  api.account.patchBatch(oldest, null)

  api.faults.next('http500', { page: 'batch' })
  api.faults.next('notJson', { page: 'batch' })
  const { summary, warnings } = await runAgainst(api, database, { results: ITEMS })
  expect(summary.status).toBe('complete')
  expect(warnings).toEqual(['items of a batch could not be read', 'items of a batch could not be read'])
  expect((await readings(database)).map(({ outcome }) => outcome).sort()).toEqual(['complete', 'gone'])
  expect(await dueCount(database)).toBe(2)
  const waits = await database.sql<{ seconds: number; attempts: number }>(
    'SELECT extract(epoch FROM not_before - now())::integer AS seconds, attempts FROM spidra.results_due',
  )
  expect(waits.every(({ seconds, attempts }) => seconds > 280 && seconds <= 300 && attempts === 1)).toBe(true)
})

test.each([
  ['http402', 1],
  ['http429', 1],
  ['http500', 3],
] as const)('%s on the items ends the reading after %d requests', async (kind, requests) => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 8, ...MANUAL })
  api.faults.next(kind, { times: 8, page: 'batch' })

  expect((await runAgainst(api, database, { results: ITEMS })).summary.status).toBe('complete')
  expect(batchRequests(api)).toBe(requests)
})

test('a worker that lost the account stores nothing more', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 10, ...MANUAL })
  let asked = 0
  const results = asking((count) => {
    asked = count
  })
  const run = runAgainst(api, database, { results, timing: { heartbeatMs: 60_000 } })
  await expect.poll(() => asked, { timeout: 20_000, interval: 1 }).toBeGreaterThan(1)
  await database.sql("UPDATE spidra.sync_runs SET status = 'aborted', finished_at = now()")
  const { summary } = await run
  const [{ late } = { late: -1 }] = await database.sql<{ late: number }>(
    'SELECT count(*)::integer AS late FROM spidra.batch_reads WHERE read_at > (SELECT max(finished_at) FROM spidra.sync_runs)',
  )
  expect([summary.status, late]).toEqual(['aborted', 0])
})

test('a stop while items are read leaves the run complete, and the rest to the next one', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 10, ...MANUAL })
  const stop = new AbortController()
  const results = asking((asked) => {
    if (asked === 5) stop.abort(new Error('stopped'))
  })

  const { summary } = await runAgainst(api, database, { results, signal: stop.signal })
  expect([summary.status, batchRequests(api) < 5, await dueCount(database)]).toEqual([
    'complete',
    true,
    10 - batchRequests(api),
  ])
  await runAgainst(api, database, { results: ITEMS })
  expect(await dueCount(database)).toBe(0)
  await expectAllStored(api, database, false)
})

test('an answer of a replica that lags behind the list is not the last one', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ ...MANUAL })
  const { uuid } = api.account.addJob({ status: 'completed', totalUrls: 2 })
  const { items } = JSON.parse(api.account.batchText(uuid) ?? '')
  const pending = { ...items[1], status: 'pending', result: null, finishedAt: null }
  api.account.patchBatch(uuid, { status: 'running', completedCount: 1, items: [items[0], pending] })

  await runAgainst(api, database, { results: ITEMS })
  expect(await readings(database)).toMatchObject([
    {
      outcome: 'incomplete',
      reason: '1 completed items, where 2 are counted; status running, where the list has completed',
    },
  ])
  api.account.patchBatch(uuid, { status: 'completed', completedCount: 2, items })
  await database.sql('UPDATE spidra.results_due SET not_before = NULL')
  await runAgainst(api, database, { results: ITEMS })
  expect(await readings(database)).toMatchObject([{ outcome: 'complete' }])
  await expectAllStored(api, database, false)
})

test('what Postgres refuses is marked, and the others are read', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 3, ...MANUAL })
  const { uuid } = api.account.addJob({ status: 'completed', totalUrls: 1 })
  const { items } = JSON.parse(api.account.batchText(uuid) ?? '')
  api.account.patchBatch(uuid, { items: [{ ...items[0], startedAt: '2026-01-01T00:00:00+20:00' }] })

  const { warnings } = await runAgainst(api, database, { results: ITEMS })
  expect(warnings).toEqual([])
  expect((await readings(database)).find((reading) => reading.uuid === uuid)).toMatchObject({
    outcome: 'unreadable',
    reason: expect.stringMatching(/^Postgres refused it \(SQLSTATE 22/),
  })
  expect([await dueCount(database), (await readings(database)).length]).toEqual([0, 4])
})

test('a batch that is gone keeps what was read of it before, and an item that lost its result keeps none', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ ...MANUAL })
  const gone = api.account.addJob({ status: 'completed', totalUrls: 3 }).uuid
  const retried = api.account.addJob({ status: 'completed', totalUrls: 2 }).uuid
  await runAgainst(api, database, { results: FULL })
  const credits = () =>
    database.sql('SELECT sum(urls)::integer AS urls, sum(credits) AS credits FROM spidra_reporting.daily_credits')
  const before = await credits()

  api.account.patchBatch(gone, null)
  api.account.updateJob(gone, { finishedAt: '2026-11-27T00:00:00Z' })
  api.account.updateJob(retried, { status: 'completed', failedCount: 1 })
  await runAgainst(api, database, { results: FULL, mode: 'full' })
  expect((await readings(database)).map(({ outcome }) => outcome).sort()).toEqual(['complete', 'gone'])
  expect(await credits()).toMatchObject([{ urls: (before[0] as { urls: number }).urls }])
  const items = await storedItems(database)
  expect(items).toHaveLength(5)
  expect(items.filter(({ status, result, text }) => status === 'failed' && (result ?? text) !== null)).toEqual([])
})

test('a batch that is refused with 402 is put off, so that older ones get their turn', async () => {
  await using database = await createTestDatabase()
  await using api = await startSimulator({ jobs: 3, ...MANUAL })
  api.faults.next('http402', { page: 'batch' })

  await runAgainst(api, database, { results: ITEMS })
  expect([batchRequests(api), await dueCount(database)]).toEqual([1, 3])
  await runAgainst(api, database, { results: ITEMS })
  expect([batchRequests(api), await dueCount(database)]).toEqual([3, 1])
})
