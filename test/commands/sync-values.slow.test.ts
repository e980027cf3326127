import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { expect, test } from 'vitest'
import { API_KEY } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { sync, syncInProcess } from '../support/cli-sync.js'
import { item, SAMPLE, servePlainList, uuid } from '../support/plain-list.js'
import type { TestDatabase } from '../support/test-database.js'

const storedJobs = (database: TestDatabase) =>
  database.sql(
    `SELECT uuid, account, status, total_urls, completed_count, failed_count, output_format, scraping_channel,
       to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') AS created_at,
       to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') AS finished_at, extra::text, removed_at
     FROM spidra.batch_jobs ORDER BY uuid`,
  )

/** The code and the summary of a run in this process. */
async function store(list: { readonly url: string }, { url }: TestDatabase) {
  const { code, stdout } = await syncInProcess({ SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: list.url, DATABASE_URL: url })
  return { code, summary: JSON.parse(stdout) }
}

/** What changes with any write to a row. */
const rowVersions = (database: TestDatabase) =>
  database.sql(
    `SELECT 'job' AS kind, uuid::text AS id, xmin::text, ctid::text FROM spidra.batch_jobs UNION ALL
     SELECT 'rejection', id::text, xmin::text, ctid::text FROM spidra.rejected_jobs ORDER BY 1, 2`,
  )

test('stores exactly what a server that is not ours lists, and writes nothing the second time', async () => {
  await using database = await createCliDatabase()
  await using list = await servePlainList(
    [
      ...SAMPLE,
      item(1, { createdAt: '2026-02-01T08:00:00.123456Z', finishedAt: '2026-02-01T08:00:00.1Z' }),
      item(2, { createdAt: '2026-02-02T08:00:00.000001+05:30', finishedAt: '2026-02-02T23:59:59.999999-11:00' }),
      item(3, { status: 'paused_by_martians', outputFormat: 'hologram', scrapingChannel: null }),
      item(4, { outputFormat: undefined, scrapingChannel: undefined, finishedAt: undefined }),
      item(5, { totalUrls: 2_147_483_647, completedCount: 0, failedCount: 2_147_483_647, status: 'ünïcødé 🕷 "\\' }),
      item(6, { tags: ['a', null], label: 'new' }).replace(/}$/, ',"credits":12345678901234567890.10,"__proto__":1}'),
      item(7, { uuid: uuid(7).toUpperCase() }).replace('"totalUrls":4', '"totalUrls":4.0'),
    ],
    { key: API_KEY },
  )

  const first = await sync(list, database)

  expect(first).toMatchObject({ code: 0, signal: null })
  expect(first.summary).toMatchObject({
    ...{ status: 'complete', account: 'default', runId: '1', reason: null, requests: 1, retries: 0, pagesRead: 1 },
    ...{ jobsRead: 9, inserted: 9, updated: 0, unchanged: 0, removed: 0, restored: 0, rejected: 0, openUnread: 0 },
    ...{ listedTotal: 9, storedTotal: 9, waitedMs: 0 },
  })
  const usual = {
    ...{ account: 'default', status: 'completed', total_urls: 4, completed_count: 3, failed_count: 1 },
    ...{ output_format: 'json', scraping_channel: 'api', finished_at: null, extra: null, removed_at: null },
  }
  expect(await storedJobs(database)).toEqual([
    {
      ...usual,
      uuid: uuid(1),
      ...{ created_at: '2026-02-01 08:00:00.123456', finished_at: '2026-02-01 08:00:00.100000' },
    },
    {
      ...usual,
      uuid: uuid(2),
      ...{ created_at: '2026-02-02 02:30:00.000001', finished_at: '2026-02-03 10:59:59.999999' },
    },
    {
      ...{ ...usual, uuid: uuid(3), created_at: '2026-02-03 08:00:00.000000' },
      ...{ status: 'paused_by_martians', output_format: 'hologram', scraping_channel: null },
    },
    {
      ...{ ...usual, uuid: uuid(4), created_at: '2026-02-04 08:00:00.000000' },
      ...{ output_format: null, scraping_channel: null },
    },
    {
      ...{ ...usual, uuid: uuid(5), created_at: '2026-02-05 08:00:00.000000', status: 'ünïcødé 🕷 "\\' },
      ...{ total_urls: 2_147_483_647, completed_count: 0, failed_count: 2_147_483_647 },
    },
    {
      ...{ ...usual, uuid: uuid(6), created_at: '2026-02-06 08:00:00.000000' },
      extra: '{"tags": ["a", null], "label": "new", "credits": 12345678901234567890.10, "__proto__": 1}',
    },
    { ...usual, uuid: uuid(7), created_at: '2026-02-07 08:00:00.000000' },
    {
      ...{
        ...usual,
        uuid: 'e2c1a0b9-0000-0000-0000-000000000000',
        status: 'running',
        created_at: '2024-01-15 10:05:00.000000',
      },
      ...{ total_urls: 25, completed_count: 12, failed_count: 0 },
    },
    {
      ...{ ...usual, uuid: 'f3a2b1c0-0000-0000-0000-000000000000', created_at: '2024-01-15 10:00:00.000000' },
      ...{ finished_at: '2024-01-15 10:01:30.000000', total_urls: 10, completed_count: 9 },
    },
  ])

  const versions = await rowVersions(database)
  const second = await sync(list, database, { LOG_LEVEL: 'trace', LOG_FORMAT: 'pretty' })

  expect(second.code).toBe(0)
  expect(second.summary).toMatchObject({ status: 'complete', runId: '2', inserted: 0, updated: 0, unchanged: 9 })
  expect(await rowVersions(database)).toEqual(versions)
  expect(new Set(list.requests)).toEqual(new Set(['/v9/batch/scrape?page=1&limit=50']))
})

test('keeps every item that is no job, with its reason, and the rest of the page goes in', async () => {
  await using database = await createCliDatabase()
  const spoilt: readonly (readonly [string, RegExp])[] = [
    [item(111, { uuid: undefined }), /^uuid: /],
    [item(112, { uuid: 'twelve' }), /^uuid: /],
    [item(113, { createdAt: 'yesterday' }), /^createdAt: /],
    [item(114, { finishedAt: '2026-02-30T00:00:00Z' }), /^finishedAt: /],
    [item(115, { completedCount: -1 }), /^completedCount: /],
    [item(116, { totalUrls: 2.5 }), /^totalUrls: /],
    [item(117, { failedCount: 2 ** 31 }), /^failedCount: /],
    [item(118, { status: 'run\u0000ning' }), /^status: .*NUL/],
    [item(119, { outputFormat: 'x\ud800' }), /^outputFormat: .*surrogate/],
    [item(120, { createdAt: '0000-01-01T00:00:00Z' }), /^createdAt: .*years/],
    [item(121, { note: 'deep \u0000 in an unknown field' }), /22P05/],
    [item(122, { status: null }), /^status: /],
    [item(123, { totalUrls: '4' }), /^totalUrls: /],
    ['null', /expected object/],
    ['[[1]]', /expected object/],
    ['"a text"', /expected object/],
  ]
  const items = spoilt.flatMap(([text], index) => [item(index + 1), text])
  await using list = await servePlainList(items, { key: API_KEY })

  const first = await store(list, database)

  expect(first.code).toBe(0)
  const totals = { rejected: spoilt.length, listedTotal: items.length, storedTotal: items.length }
  expect(first.summary).toMatchObject({ status: 'complete', reason: null, inserted: spoilt.length, ...totals })
  const rejected = await database.sql<{ payload: string; reason: string; copies: number; resolved_at: unknown }>(
    'SELECT payload, reason, copies, resolved_at FROM spidra.rejected_jobs',
  )
  expect(rejected).toHaveLength(spoilt.length)
  for (const [text, reason] of spoilt) {
    const row = rejected.find(({ payload }) => payload === text)
    expect(row, text).toMatchObject({ reason: expect.stringMatching(reason), copies: 1, resolved_at: null })
  }

  const versions = await rowVersions(database)
  const second = await store(list, database)

  expect(second.summary).toMatchObject({ status: 'complete', inserted: 0, updated: 0, ...totals })
  expect(await rowVersions(database)).toEqual(versions)
})

test('stores the sample of the documentation as it stands there, and does not take it for the whole list', async () => {
  await using database = await createCliDatabase()
  const body = `{"jobs":[${SAMPLE.join(',')}],"pagination":{"page":1,"limit":20,"total":47,"totalPages":3}}`
  const server = createServer((_, response) => void response.end(body))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const api = { url: `http://127.0.0.1:${address.port}/api` }

  const { code, summary } = await sync(api, database, { REQUEST_RETRIES: '0' })
  server.close()

  expect(code).toBe(3)
  expect(summary).toMatchObject({ status: 'partial', reason: 'page_faulty' })
  expect((await storedJobs(database)).map((job) => job.uuid)).toEqual([
    'e2c1a0b9-0000-0000-0000-000000000000',
    'f3a2b1c0-0000-0000-0000-000000000000',
  ])
})

const hash = (text: string) => createHash('sha256').update(text).digest('hex')

test.each([
  ['newest first', 50, (one: string, other: string) => (one < other ? 1 : -1)],
  ['oldest first, 20 a page at most', 20, (one: string, other: string) => (one < other ? -1 : 1)],
  ['in no order', 50, (one: string, other: string) => (hash(one) < hash(other) ? 1 : -1)],
])('is complete over several pages of a list that stands still: %s', async (_, largestPage, order) => {
  await using database = await createCliDatabase()
  const items = Array.from({ length: 130 }, (_unused, index) => item(index + 1)).sort(order)
  await using list = await servePlainList(items, { key: API_KEY, largestPage })

  const first = await store(list, database)
  const versions = await rowVersions(database)
  const second = await store(list, database)

  const totals = { status: 'complete', listedTotal: 130, storedTotal: 130, removed: 0 }
  expect(first.summary).toMatchObject({ inserted: 130, updated: 0, ...totals })
  expect(second.summary).toMatchObject({ inserted: 0, updated: 0, ...totals })
  expect(await rowVersions(database)).toEqual(versions)
})
