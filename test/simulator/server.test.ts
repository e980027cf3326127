import { connect } from 'node:net'
import { expect, test } from 'vitest'
import type { ListPage } from '../../src/simulator/account.js'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'

function get(api: Simulator, query = '', headers: Record<string, string> = { 'x-api-key': api.key }) {
  return fetch(`${api.url}/batch/scrape${query}`, { headers, signal: AbortSignal.timeout(5000) })
}

async function getPage(api: Simulator, query = ''): Promise<ListPage> {
  return (await (await get(api, query)).json()) as ListPage
}

test('serves every job once to a client that follows totalPages', async () => {
  await using api = await startSimulator({ jobs: 230 })
  const uuids: string[] = []
  for (let page = 1, last = 1; page <= last; page += 1) {
    const { jobs, pagination } = await getPage(api, `?page=${page}&limit=50`)
    expect(pagination).toEqual({ page, limit: 50, total: 230, totalPages: 5 })
    uuids.push(...jobs.map((job) => job.uuid))
    last = pagination.totalPages
  }
  expect(uuids).toEqual([...api.account.allUuids()])
})

test('returns the first 20 without parameters, and an empty page past the end', async () => {
  await using api = await startSimulator({ jobs: 30 })
  const first = await getPage(api)
  expect(first.pagination).toEqual({ page: 1, limit: 20, total: 30, totalPages: 2 })
  expect(first).toEqual(api.account.list({ page: 1, limit: 20 }))
  expect(await getPage(api, '?page=9')).toEqual({
    jobs: [],
    pagination: { page: 9, limit: 20, total: 30, totalPages: 2 },
  })
})

test('accepts its key in either header, and no other key', async () => {
  await using api = await startSimulator({ key: 'spd_mine' })
  expect((await get(api, '', { 'x-api-key': 'spd_mine' })).status).toBe(200)
  expect((await get(api, '', { authorization: 'Bearer spd_mine' })).status).toBe(200)

  const missing = await get(api, '', {})
  expect(missing.status).toBe(401)
  expect(await missing.json()).toEqual({ status: 'error', message: 'Missing x-api-key header' })

  const wrong = await get(api, '', { authorization: 'Bearer spd_other' })
  expect(wrong.status).toBe(403)
  expect(await wrong.json()).toEqual({ status: 'error', message: 'Invalid, expired or disabled API key' })
})

test('refuses a page or limit that is not a positive whole number', async () => {
  await using api = await startSimulator({ jobs: 3 })
  for (const query of ['?page=0', '?page=-1', '?page=1.5', '?page=', '?page=one', '?limit=0', '?limit=x']) {
    const answer = await get(api, query)
    expect(answer.status).toBe(422)
    expect(await answer.json()).toMatchObject({ status: 'error', message: expect.any(String) })
  }
})

test('reduces a limit over 50 to 50 and reports that limit, or refuses it', async () => {
  await using clamping = await startSimulator({ jobs: 60 })
  const page = await getPage(clamping, '?limit=100')
  expect(page.pagination).toEqual({ page: 1, limit: 50, total: 60, totalPages: 2 })
  expect(page.jobs).toHaveLength(50)

  await using strict = await startSimulator({ jobs: 60, overLimit: 'error' })
  expect((await get(strict, '?limit=51')).status).toBe(422)
  expect((await get(strict, '?limit=50')).status).toBe(200)
})

test('can ignore the requested limit, and reports its own', async () => {
  await using api = await startSimulator({ jobs: 60, fixedLimit: 25 })
  for (const query of ['', '?limit=50', '?limit=7', '?limit=100', '?limit=x']) {
    const page = await getPage(api, query)
    expect(page.pagination).toEqual({ page: 1, limit: 25, total: 60, totalPages: 3 })
    expect(page.jobs).toHaveLength(25)
  }
  expect((await get(api, '?page=0')).status).toBe(422)
})

test('answers 404 for any other path or method', async () => {
  await using api = await startSimulator()
  expect((await fetch(`${api.url}/scrape`)).status).toBe(404)
  expect((await fetch(`${api.url}/batch/scrape`, { method: 'POST', body: '{}' })).status).toBe(404)
})

test('keeps the last requests, and counts all', async () => {
  await using api = await startSimulator({ jobs: 3, requestsKept: 2, now: () => 1_000_000 })
  await get(api, '?page=1')
  await get(api, '?page=1', {})
  await get(api, '?page=2&limit=99')
  const common = { at: 1_000_000, address: '127.0.0.1', batch: null, fault: null, windowEndsAt: 1_900_000 }
  expect(api.requests).toEqual([
    { ...common, number: 2, account: null, backend: null, page: null, limit: null, status: 401 },
    { ...common, number: 3, account: 1, backend: 1, page: 2, limit: 50, status: 200 },
  ])
  expect(api.requestCount).toBe(3)
})

test('allows a test to change the list between two answers', async () => {
  await using api = await startSimulator({
    jobs: 100,
    beforeAnswer: ({ page }) => {
      if (page === 2) api.account.removeJob(gone)
    },
  })
  const upper = await getPage(api, '?page=1&limit=50')
  const gone = upper.jobs[0]?.uuid ?? ''
  const missed = api.account.list({ page: 2, limit: 50 }).jobs[0]
  const lower = await getPage(api, '?page=2&limit=50')
  expect(lower.pagination.total).toBe(99)
  expect(lower.jobs).not.toContainEqual(missed)
})

test('answers 500 if beforeAnswer throws', async () => {
  await using api = await startSimulator({ beforeAnswer: () => Promise.reject(new Error('my mistake')) })
  const answer = await get(api)
  expect(answer.status).toBe(500)
  expect(await answer.text()).toContain('my mistake')
})

test('delays answers by the latency', async () => {
  await using api = await startSimulator({ latencyMs: 60 })
  const startedAt = performance.now()
  await get(api)
  // A timer may fire up to a millisecond early.
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(59)
})

test('ends idle, hanging and waiting connections when it closes', async () => {
  const api = await startSimulator({ jobs: 3, latencyMs: 60_000 })
  const idle = connect(api.port, '127.0.0.1')
  const idleClosed = new Promise((resolve) => idle.on('error', resolve).on('close', resolve))
  const waiting = expect(get(api)).rejects.toThrow()
  await new Promise<void>((resolve) => idle.on('connect', () => resolve()))
  await api.close()
  await Promise.all([idleClosed, waiting])
  await expect(get(api)).rejects.toThrow()
})

test('rejects if it cannot listen', async () => {
  await using api = await startSimulator()
  await expect(startSimulator({ port: api.port })).rejects.toMatchObject({ code: 'EADDRINUSE' })
})
