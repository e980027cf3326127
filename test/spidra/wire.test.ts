import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseItem, parseListBody, toRejection } from '../../src/spidra/wire.js'

const UUID = '3f2504e0-4f89-41d3-9a0c-0305e82c3301'

const ITEM = {
  uuid: UUID,
  status: 'completed',
  totalUrls: 3,
  completedCount: 2,
  failedCount: 1,
  outputFormat: 'json',
  scrapingChannel: 'api',
  createdAt: '2025-12-17T22:10:05Z',
  finishedAt: '2025-12-17T22:11:40Z',
}

/** The body of a page with one item, given as JSON text. */
function pageOf(item: string): string {
  return `{"jobs":[${item}],"pagination":{"page":1,"limit":50,"total":1,"totalPages":1}}`
}

/** Parses a page with one item, given as JSON text. */
function parseText(item: string) {
  const body = parseListBody(pageOf(item))
  return { job: body?.jobs[0], rejection: body?.rejections[0] }
}

describe('a list', () => {
  // In the documentation's form: seconds and Z, and not newest first.
  const documented = {
    jobs: [
      ITEM,
      {
        uuid: '7c9e6679-7425-40de-944b-e07fc1f90ae7',
        status: 'running',
        totalUrls: 50,
        completedCount: 0,
        failedCount: 0,
        outputFormat: 'markdown',
        scrapingChannel: 'playground',
        createdAt: '2025-12-18T08:00:00Z',
        finishedAt: null,
      },
    ],
    pagination: { page: 1, limit: 20, total: 2, totalPages: 1 },
  }

  test('as documented is read with every field, in its order', () => {
    expect(parseListBody(JSON.stringify(documented))).toEqual({
      jobs: documented.jobs.map((item) => ({ ...item, extra: null, item })),
      rejections: [],
      bytes: Buffer.byteLength(JSON.stringify(documented)),
      itemCount: 2,
      pagination: documented.pagination,
    })
  })

  test('keeps the good items of a page that has bad ones', () => {
    const body = parseListBody(
      JSON.stringify({ ...documented, jobs: [null, ...documented.jobs, { uuid: UUID }, ITEM] }),
    )

    expect(body?.jobs.map(({ uuid }) => uuid)).toEqual([UUID, documented.jobs[1]?.uuid, UUID])
    expect(body?.rejections.map(({ uuid }) => uuid)).toEqual([null, UUID])
    expect(body?.itemCount).toBe(5)
  })

  test.each([
    ['empty', ''],
    ['HTML', '<html>502</html>'],
    ['cut', JSON.stringify(documented).slice(0, -1)],
    ['null', 'null'],
    ['an array', '[]'],
    ['without jobs', JSON.stringify({ pagination: documented.pagination })],
    ['without pagination', JSON.stringify({ jobs: [] })],
    ['of jobs that are no array', JSON.stringify({ ...documented, jobs: {} })],
    ['without a total', JSON.stringify({ jobs: [], pagination: { page: 1, limit: 20, totalPages: 0 } })],
    ['of a negative total', JSON.stringify({ jobs: [], pagination: { page: 1, limit: 20, total: -1, totalPages: 0 } })],
    ['of a limit of 0', JSON.stringify({ jobs: [], pagination: { page: 1, limit: 0, total: 0, totalPages: 0 } })],
    ['with a page as text', JSON.stringify({ jobs: [], pagination: { page: '1', limit: 1, total: 0, totalPages: 0 } })],
  ])('is refused when it is %s', (_, body) => {
    expect(parseListBody(body)).toBeNull()
  })
})

describe('a job', () => {
  test.each([
    ['an unknown status', { status: 'paused_by_operator' }],
    ['an unknown format and channel', { outputFormat: 'table', scrapingChannel: 'sdk' }],
    ['microseconds', { createdAt: '2025-12-17T22:10:05.123456Z', finishedAt: '2025-12-17T22:10:06.000001Z' }],
    ['an offset', { createdAt: '2025-12-18T03:40:05.5+05:30' }],
    ['a leap day', { createdAt: '2024-02-29T00:00:00Z' }],
    ['the largest count', { totalUrls: 2_147_483_647 }],
    ['no format, no channel, no end', { outputFormat: null, scrapingChannel: null, finishedAt: null }],
  ])('keeps %s as it came', (_, change) => {
    const item = { ...ITEM, ...change }

    expect(parseItem(item)).toEqual({ job: { ...item, extra: null, item } })
  })

  test('may lack what may be null', () => {
    const { finishedAt: _, outputFormat: __, scrapingChannel: ___, ...item } = ITEM

    expect(parseItem(item)).toEqual({
      job: { ...item, finishedAt: null, outputFormat: null, scrapingChannel: null, extra: null, item },
    })
  })

  test('has its uuid in lower case', () => {
    expect(parseItem({ ...ITEM, uuid: UUID.toUpperCase() })).toMatchObject({ job: { uuid: UUID } })
  })

  test.each([
    '{"creditsUsed":7,"tags":["a",null],"nested":{"a":{"b":true}}}',
    '{"big":12345678901234567890,"huge":1e400,"fine":0.1234567890123456789}',
    '{"__proto__":{"status":"failed"},"constructor":1,"toString":null}',
    '{"text":"\\u0000\\ud800","":0}',
  ])('keeps unknown fields exactly: %s', (extra) => {
    const { job } = parseText(`${JSON.stringify(ITEM).slice(0, -1)},${extra.slice(1)}`)

    expect(job?.extra).toBe(extra)
    expect(job).toMatchObject(ITEM)
  })

  test('with a field given twice has the last value', () => {
    const { job } = parseText(`{"status":"running","note":1,${JSON.stringify(ITEM).slice(1, -1)},"note":2}`)

    expect(job).toMatchObject({ status: 'completed', extra: '{"note":2}' })
  })

  test('takes no fields from __proto__', () => {
    expect(parseText(`{"__proto__":${JSON.stringify(ITEM)}}`).rejection?.reason).toContain('uuid')
  })

  test('may be nested deeper than the stack, and its neighbours are read', () => {
    for (const depth of [5000, 20_000]) {
      const deep = `{"a":${'['.repeat(depth)}12345678901234567890${']'.repeat(depth)}}`
      const body = parseListBody(
        pageOf(`${JSON.stringify(ITEM).slice(0, -1)},${deep.slice(1)},${deep},${JSON.stringify(ITEM)}`),
      )

      expect(body?.itemCount).toBe(3)
      expect(body?.jobs[0]?.extra === deep).toBe(true)
      expect(body?.rejections[0]?.payload === deep).toBe(true)
    }
  })
})

describe('an item', () => {
  const without = Object.fromEntries(Object.entries(ITEM).filter(([name]) => name !== 'uuid'))

  test.each([
    ['null', null, null, 'object'],
    ['an array', [ITEM], null, 'object'],
    ['a text', 'completed', null, 'object'],
    ['a number', 7, null, 'object'],
    ['empty', {}, null, 'uuid'],
    ['without uuid', without, null, 'uuid'],
    ['with a uuid that is none', { ...ITEM, uuid: `${UUID}0` }, null, 'uuid'],
    ['with a NUL in its uuid', { ...ITEM, uuid: `${UUID.slice(1)}\0` }, null, 'uuid'],
    ['without status', { ...ITEM, status: undefined }, UUID, 'status'],
    ['with an empty status', { ...ITEM, status: '' }, UUID, 'status'],
    ['with a NUL in a text', { ...ITEM, status: 'comp\0leted' }, UUID, 'status'],
    ['with a lone surrogate in a text', { ...ITEM, outputFormat: 'js\ud800on' }, UUID, 'outputFormat'],
    ['with a number as text', { ...ITEM, scrapingChannel: 7 }, UUID, 'scrapingChannel'],
    ['with a bad date', { ...ITEM, createdAt: 'yesterday' }, UUID, 'createdAt'],
    ['created on 30 February', { ...ITEM, createdAt: '2025-02-30T00:00:00Z' }, UUID, 'createdAt'],
    ['created on 29 February of a common year', { ...ITEM, createdAt: '2025-02-29T00:00:00Z' }, UUID, 'createdAt'],
    ['created at 25 o’clock', { ...ITEM, createdAt: '2025-02-03T25:00:00Z' }, UUID, 'createdAt'],
    ['with a time without offset', { ...ITEM, createdAt: '2025-12-17T22:10:05' }, UUID, 'createdAt'],
    ['with a date alone', { ...ITEM, finishedAt: '2025-12-17' }, UUID, 'finishedAt'],
    ['with a number as time', { ...ITEM, createdAt: 1_766_009_405 }, UUID, 'createdAt'],
    ['with null as creation', { ...ITEM, createdAt: null }, UUID, 'createdAt'],
    ['with a negative count', { ...ITEM, failedCount: -1 }, UUID, 'failedCount'],
    ['with a fractional count', { ...ITEM, totalUrls: 2.5 }, UUID, 'totalUrls'],
    ['with a count of 2^31', { ...ITEM, totalUrls: 2 ** 31 }, UUID, 'totalUrls'],
    ['with a text as count', { ...ITEM, completedCount: '2' }, UUID, 'completedCount'],
    ['with null as count', { ...ITEM, completedCount: null }, UUID, 'completedCount'],
  ])('%s is rejected with the reason, and kept as it came', (_, item, uuid, reason) => {
    const text = JSON.stringify(item)
    const { job, rejection } = parseText(text)

    expect(job).toBeUndefined()
    expect(rejection).toEqual({ uuid, payload: text, reason: expect.stringContaining(reason) })
  })

  test('with a count that no double can hold is rejected with the same reason', () => {
    for (const digits of ['12345678901234567890', '1e400']) {
      const text = JSON.stringify(ITEM).replace('"totalUrls":3', `"totalUrls":${digits}`)
      expect(parseText(text).rejection).toEqual({
        uuid: UUID,
        payload: text,
        reason: 'totalUrls: must be a whole number from 0 to 2147483647',
      })
    }
  })

  test('is rejected with all its reasons, and without its values', () => {
    const { rejection } = parseText(
      JSON.stringify({ ...ITEM, uuid: 'secret', createdAt: 'secret', totalUrls: 'secret' }),
    )

    expect(rejection?.reason).toBe(
      'uuid: must be a uuid; totalUrls: must be a whole number from 0 to 2147483647; ' +
        'createdAt: must be an ISO 8601 time with Z or an offset',
    )
  })

  test('that the database refuses becomes a rejection of the same form', () => {
    const item = { ...ITEM, uuid: UUID.toUpperCase(), createdAt: '0000-01-01T00:00:00Z' }

    expect(toRejection(item, '22008')).toEqual({ uuid: UUID, payload: JSON.stringify(item), reason: '22008' })
  })
})

describe('any input', () => {
  // Any UTF-16 code unit, including lone surrogates and NUL.
  const anyUnit = fc.nat(0xffff).map((code) => String.fromCharCode(code))
  const field = fc.oneof(fc.jsonValue(), fc.constantFrom(UUID, ITEM.createdAt, 0, -1, 2 ** 31, '\0', '\ud800'))
  const almostJob = fc
    .record(Object.fromEntries(Object.keys(ITEM).map((name) => [name, field])), { requiredKeys: [] })
    .map((change) => ({ ...ITEM, ...change }))

  test('no text makes the parser throw', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: anyUnit }), fc.json()), (text) => {
        const body = parseListBody(text)
        expect(body === null || Array.isArray(body.jobs)).toBe(true)
      }),
    )
  })

  test('every item of a list becomes a job or a rejection that contains it whole', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(almostJob, fc.jsonValue())), (items) => {
        const received = items.map((item) => JSON.stringify(item))
        const body = parseListBody(pageOf(received.join(',')))

        expect(body?.itemCount).toBe(items.length)
        expect((body?.jobs.length ?? 0) + (body?.rejections.length ?? 0)).toBe(items.length)
        const kept = [
          ...(body?.jobs ?? []).map(({ item }) => JSON.stringify(item)),
          ...(body?.rejections ?? []).map(({ payload }) => payload),
        ]
        expect(kept.sort()).toEqual(received.sort())
      }),
    )
  })
})
