import { request } from 'node:http'
import { expect, test } from 'vitest'
import { type AccountOptions, createAccount, type ListPage } from '../../src/simulator/account.js'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'
import { LOOPBACK_NOTE, ownLoopback } from '../support/own-loopback.js'

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

/** A simulator whose clock moves only when the test sets it. */
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

test('a lagging backend shows every page as it was that long ago, and the first backend shows the current list', async () => {
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

test('backends are drawn evenly, and depend only on the seed', async () => {
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

test('a lagging backend shows each account its own list', async () => {
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

test('with routing in turns, every account answers in turn for any valid key, and a wrong key is refused', async () => {
  const { api } = await clocked({ accounts: 2, routing: 'turns' })
  await using _ = api
  for (const key of [api.key, api.key, 'spd_demo_2', 'spd_demo_2', api.key]) await getPage(api, 1, key)
  expect(api.requests.map(({ account }) => account)).toEqual([1, 2, 1, 2, 1])
  const [first, second] = api.accounts.map(({ account }) => account.list({ page: 1, limit: 50 }))
  expect([await getPage(api), await getPage(api)]).toEqual([second, first])

  const wrong = await fetch(`${api.url}/batch/scrape`, { headers: { 'x-api-key': 'spd_other' } })
  expect(wrong.status).toBe(403)
})

/** Sends a request from a local address. Returns the status and the remaining budget. */
function askFrom(api: Simulator, localAddress: string, key = api.key): Promise<string> {
  return new Promise((resolve, reject) => {
    const asking = request(`${api.url}/batch/scrape`, { localAddress, headers: { 'x-api-key': key } }, (answer) => {
      answer.resume().on('end', () => resolve(`${answer.statusCode} ${answer.headers['ratelimit-remaining']}`))
    })
    asking.on('error', reject).end()
  })
}

test('each account has its own key and lists jobs that no other account lists', async () => {
  await using api = await startSimulator({ jobs: 40, accounts: 5 })
  expect(api.accounts.map(({ number, key }) => `${number} ${key}`)).toEqual([
    '1 spd_demo',
    '2 spd_demo_2',
    '3 spd_demo_3',
    '4 spd_demo_4',
    '5 spd_demo_5',
  ])
  const uuids: string[] = []
  for (const { key, account } of api.accounts) {
    account.addJob({ status: 'pending' })
    const { jobs } = await getPage(api, 1, key)
    expect(jobs.map(({ uuid }) => uuid)).toEqual([...account.allUuids()])
    uuids.push(...jobs.map(({ uuid }) => uuid))
  }
  expect(new Set(uuids).size).toBe(5 * 41)
  expect(api.requests.map(({ account }) => account)).toEqual([1, 2, 3, 4, 5])
})

test('the first account is the same with and without others', async () => {
  const options = { jobs: 30, seed: 7, epoch: 1_700_000_000_000, items: [{ uuid: 'raw' }] }
  await using alone = await startSimulator(options)
  await using together = await startSimulator({ ...options, accounts: 3 })

  expect([...together.account.allUuids()]).toEqual([...alone.account.allUuids()])
  expect(together.accounts[0]).toEqual({ number: 1, key: together.key, account: together.account })
  expect(together.accounts.map(({ account }) => account.total)).toEqual([31, 30, 30])
})

test('the accounts share the budget of an address', async () => {
  await using api = await startSimulator({ accounts: 2, rateLimit: { limit: 2 } })

  expect(await askFrom(api, '127.0.0.1', 'spd_demo')).toBe('200 1')
  expect(await askFrom(api, '127.0.0.1', 'spd_demo_2')).toBe('200 0')
  expect(await askFrom(api, '127.0.0.1', 'spd_demo')).toBe('429 0')
  expect(api.requests.map(({ account }) => account)).toEqual([1, 2, 1])
})

test.skipIf(!ownLoopback)(`each address has its own budget${LOOPBACK_NOTE}`, async () => {
  await using api = await startSimulator({ rateLimit: { limit: 1 } })

  expect(await askFrom(api, '127.0.0.2')).toBe('200 0')
  expect(await askFrom(api, '127.0.0.2')).toBe('429 0')
  expect(await askFrom(api, '127.0.0.3')).toBe('200 0')
  expect(api.requests.map(({ address }) => address)).toEqual(['127.0.0.2', '127.0.0.2', '127.0.0.3'])
})
