import { expect, test } from 'vitest'
import type { ListPage } from '../../src/simulator/account.js'
import { FAULT_KINDS, type FaultKind } from '../../src/simulator/faults.js'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'

function get(api: Simulator, page = 1, timeoutMs = 5000) {
  const signal = AbortSignal.timeout(timeoutMs)
  return fetch(`${api.url}/batch/scrape?page=${page}&limit=50`, { headers: { 'x-api-key': api.key }, signal })
}

async function getPage(api: Simulator, page = 1): Promise<ListPage> {
  return (await (await get(api, page)).json()) as ListPage
}

function start(options: SimulatorOptions = {}): Promise<Simulator> {
  return startSimulator({ jobs: 120, rateLimit: 'off', ...options })
}

/** Checks what a plain client receives for each fault. `good` is the correct page. */
const SEEN: Readonly<Record<FaultKind, (api: Simulator, good: ListPage) => Promise<void>>> = {
  async http402(api) {
    const answer = await get(api)
    expect(answer.status).toBe(402)
    expect(await answer.json()).toMatchObject({ status: 'error', code: 'PAYMENT_OVERDUE' })
  },
  async http429(api) {
    const answer = await get(api)
    expect(answer.status).toBe(429)
    expect(answer.headers.get('retry-after')).toBe('3')
  },
  async http429Date(api) {
    const before = Date.now()
    const answer = await get(api)
    expect(answer.status).toBe(429)
    const retryAfter = Date.parse(answer.headers.get('retry-after') ?? '')
    expect(retryAfter).toBeGreaterThan(before + 1000) // an HTTP date drops the fraction of its second
    expect(retryAfter).toBeLessThanOrEqual(Date.now() + 3000)
  },
  async http429Body(api) {
    const answer = await get(api)
    expect(answer.status).toBe(429)
    expect(answer.headers.has('retry-after')).toBe(false)
    expect(await answer.json()).toMatchObject({ status: 'error', retry_after: 3 })
  },
  async http500(api) {
    const answer = await get(api)
    expect(answer.status).toBe(500)
    expect(await answer.json()).toEqual({ status: 'error', message: 'Internal server error' })
  },
  async http502(api) {
    const answer = await get(api)
    expect(answer.status).toBe(502)
    expect(answer.headers.get('content-type')).toBe('text/html')
    expect(await answer.text()).toContain('<h1>502 Bad Gateway</h1>')
  },
  async http503(api) {
    const answer = await get(api)
    expect(answer.status).toBe(503)
    expect(await answer.json()).toMatchObject({ status: 'error', code: 'SERVICE_BUSY', retry_after: 3 })
  },
  async dropped(api) {
    await expect(get(api)).rejects.toThrow('fetch failed')
  },
  async cutBody(api) {
    const answer = await get(api)
    expect(answer.status).toBe(200)
    await expect(answer.text()).rejects.toThrow('terminated')
  },
  async slowBody(api, good) {
    const startedAt = performance.now()
    const answer = await get(api)
    const headAt = performance.now()
    expect(await answer.json()).toEqual(good)
    expect(performance.now() - headAt).toBeGreaterThan(50)
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(90)
  },
  async hang(api) {
    await expect(get(api, 1, 100)).rejects.toMatchObject({ name: 'TimeoutError' })
  },
  async notJson(api) {
    const answer = await get(api)
    expect(answer.status).toBe(200)
    await expect(answer.json()).rejects.toThrow(SyntaxError)
  },
  async malformedItems(api, good) {
    const { jobs, pagination } = await getPage(api)
    expect(pagination).toEqual(good.pagination)
    const spoilt = jobs.filter((job, index) => JSON.stringify(job) !== JSON.stringify(good.jobs[index]))
    expect(spoilt).toHaveLength(13)
    expect(new Set(spoilt.map((item) => JSON.stringify(item))).size).toBe(13)
  },
  async wrongPage(api, good) {
    expect(await getPage(api)).toEqual({ ...good, pagination: { ...good.pagination, page: 2 } })
  },
  async wrongLimit(api, good) {
    expect(await getPage(api)).toEqual({ ...good, pagination: { ...good.pagination, limit: 49 } })
  },
  async totalPagesHigh(api, good) {
    expect(await getPage(api)).toEqual({ ...good, pagination: { ...good.pagination, totalPages: 5 } })
  },
  async totalPagesLow(api, good) {
    expect(await getPage(api)).toEqual({ ...good, pagination: { ...good.pagination, totalPages: 2 } })
  },
  async emptyPage(api, good) {
    expect(await getPage(api)).toEqual({ ...good, jobs: [] })
  },
  async duplicatedItems(api, good) {
    const [first, ...others] = good.jobs
    expect(await getPage(api)).toEqual({ ...good, jobs: [first, first, ...others.slice(0, -1)] })
  },
  async wrongTotal(api, good) {
    expect(await getPage(api)).toEqual({ ...good, pagination: { ...good.pagination, total: 127, totalPages: 3 } })
  },
}

test.each(FAULT_KINDS)('a plain client sees %s once, and a correct page after it', async (kind) => {
  await using api = await start({ faults: { slowBodyMs: 100, retryAfterSeconds: 3 } })
  const good = api.account.list({ page: 1, limit: 50 })
  api.faults.next(kind)
  await SEEN[kind](api, good)
  expect(api.requests.at(-1)).toMatchObject({ page: 1, fault: kind })
  expect(await getPage(api)).toEqual(good)
  expect(api.requests.at(-1)).toMatchObject({ status: 200, fault: null })
})

test('faults set by next come in order, as often as requested and only on their page', async () => {
  await using api = await start()
  api.faults.next('http500', { times: 2, page: 2 })
  api.faults.next('http503')
  expect(api.faults.pending).toBe(3)
  const statuses: number[] = []
  for (const page of [1, 1, 2, 2, 2]) statuses.push((await get(api, page)).status)
  expect(statuses).toEqual([503, 200, 500, 500, 200])
  expect(api.faults.pending).toBe(0)

  api.faults.next('http500', { times: 9 })
  api.faults.clear()
  expect((await get(api)).status).toBe(200)
})

test('random faults come at the configured rates, the same for the same seed', async () => {
  async function faultsOf(seed: number) {
    await using api = await start({ seed, faults: { rates: { http500: 0.2, emptyPage: 0.1 } } })
    for (let request = 0; request < 300; request += 1) await (await get(api)).text()
    return api.requests.map((request) => request.fault)
  }
  const seen = await faultsOf(5)
  const count = (kind: FaultKind) => seen.filter((fault) => fault === kind).length
  expect(count('http500')).toBeGreaterThan(35)
  expect(count('http500')).toBeLessThan(85)
  expect(count('emptyPage')).toBeGreaterThan(12)
  expect(count('emptyPage')).toBeLessThan(50)
  expect(count('http500') + count('emptyPage')).toBe(seen.filter((fault) => fault !== null).length)
  expect(await faultsOf(5)).toEqual(seen)
  expect(await faultsOf(6)).not.toEqual(seen)
})

test('the rates of random faults can be changed and set to none', async () => {
  await using api = await start({ faults: { rates: { http500: 1 } } })
  expect((await get(api)).status).toBe(500)
  api.faults.setRates({ http502: 1 })
  expect((await get(api)).status).toBe(502)
  api.faults.setRates({})
  expect((await get(api)).status).toBe(200)
})

test('closes at once during a hanging and a slow answer', async () => {
  const api = await start({ faults: { slowBodyMs: 60_000 } })
  api.faults.next('slowBody')
  const slow = await get(api)
  api.faults.next('hang')
  const hanging = expect(get(api)).rejects.toThrow('fetch failed')
  const cut = expect(slow.text()).rejects.toThrow('terminated')
  while (api.requests.length < 2) await new Promise((resolve) => setImmediate(resolve))
  await api.close()
  await Promise.all([hanging, cut])
})
