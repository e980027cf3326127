import { expect, test } from 'vitest'
import { type AccountOptions, createAccount } from '../../src/simulator/account.js'
import type { ListPage } from '../../src/simulator/list-page.js'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'

const EPOCH = Date.parse('2026-01-15T12:00:00Z')
const LAG_MS = 20_000
const MOVING: AccountOptions = {
  jobs: 120,
  seed: 5,
  epoch: EPOCH,
  arrivalsPerMinute: 60,
  removalsPerMinute: 7,
  cap: 130,
}

/** A simulator whose clock stands until the test moves it. */
async function clocked(options: SimulatorOptions) {
  const clock = { now: EPOCH }
  const api = await startSimulator({ ...MOVING, rateLimit: 'off', ...options, now: () => clock.now })
  return { api, clock }
}

async function getPage(api: Simulator, page = 1, key = api.key): Promise<ListPage> {
  const answer = await fetch(`${api.url}/batch/scrape?page=${page}&limit=50`, { headers: { 'x-api-key': key } })
  expect(answer.status).toBe(200)
  return (await answer.json()) as ListPage
}

test('an answer of a lagging backend is the list as of the lag ago, each page of it, that of the first is the list now', async () => {
  const { api, clock } = await clocked({ backends: { count: 2, lagMs: LAG_MS } })
  await using _ = api
  const asOf = (instant: number) => createAccount({ ...MOVING, now: () => instant })
  const seen = new Set<number | null | undefined>()
  for (let request = 0; request < 60; request += 1) {
    clock.now += 1_700
    const page = 1 + (request % 3)
    const answer = await getPage(api, page)
    const backend = api.requests.at(-1)?.backend
    seen.add(backend)
    const instant = backend === 1 ? clock.now : Math.max(EPOCH, clock.now - LAG_MS)
    expect(answer).toEqual(asOf(instant).list({ page, limit: 50 }))
  }
  expect(seen).toEqual(new Set([1, 2]))
})

test('backends are drawn evenly, from the seed alone', async () => {
  const draw = async (seed: number) => {
    const { api } = await clocked({ seed, backends: { count: 3, lagMs: LAG_MS } })
    await using _ = api
    for (let request = 0; request < 90; request += 1) await getPage(api)
    return api.requests.map(({ backend }) => backend)
  }
  const drawn = await draw(1)
  for (const backend of [1, 2, 3]) {
    expect(drawn.filter((one) => one === backend).length).toBeGreaterThan(15)
  }
  expect(await draw(1)).toEqual(drawn)
  expect(await draw(2)).not.toEqual(drawn)
})

test('each of several accounts lags on its own list', async () => {
  const { api, clock } = await clocked({ accounts: 2, backends: { count: 2, lagMs: LAG_MS }, removalsPerMinute: 0 })
  await using _ = api
  clock.now += 60_000
  const second = new Set(api.accounts[1]?.account.allUuids())
  for (let request = 0; request < 20; request += 1) {
    const { jobs } = await getPage(api, 1, api.accounts[1]?.key)
    for (const { uuid } of jobs) expect(second).toContain(uuid)
  }
})

test('one backend is always up to date', async () => {
  const { api, clock } = await clocked({ backends: { count: 1, lagMs: LAG_MS } })
  await using _ = api
  for (let request = 0; request < 20; request += 1) {
    clock.now += 5_000
    expect(await getPage(api)).toEqual(api.account.list({ page: 1, limit: 50 }))
  }
})

test('a misrouting proxy answers from each account in turn, whatever the key, and still knows keys', async () => {
  const { api } = await clocked({ accounts: 2, routing: 'turns' })
  await using _ = api
  for (const key of [api.key, api.key, 'spd_demo_2', 'spd_demo_2', api.key]) await getPage(api, 1, key)
  expect(api.requests.map(({ account }) => account)).toEqual([1, 2, 1, 2, 1])
  const [first, second] = api.accounts.map(({ account }) => account.list({ page: 1, limit: 50 }))
  expect([await getPage(api), await getPage(api)]).toEqual([second, first])

  const wrong = await fetch(`${api.url}/batch/scrape`, { headers: { 'x-api-key': 'spd_other' } })
  expect(wrong.status).toBe(403)
})
