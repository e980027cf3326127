import { request } from 'node:http'
import { expect, test } from 'vitest'
import type { ListPage } from '../../src/simulator/list-page.js'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import { LOOPBACK_NOTE, ownLoopback } from '../support/own-loopback.js'

async function getPage(api: Simulator, key: string): Promise<ListPage> {
  const answer = await fetch(`${api.url}/batch/scrape?limit=50`, { headers: { 'x-api-key': key } })
  expect(answer.status).toBe(200)
  return (await answer.json()) as ListPage
}

/** Status and what is left of the budget, asked from a local address. */
function askFrom(api: Simulator, localAddress: string, key = api.key): Promise<string> {
  return new Promise((resolve, reject) => {
    const asking = request(`${api.url}/batch/scrape`, { localAddress, headers: { 'x-api-key': key } }, (answer) => {
      answer.resume().on('end', () => resolve(`${answer.statusCode} ${answer.headers['ratelimit-remaining']}`))
    })
    asking.on('error', reject).end()
  })
}

test('each account opens to a key of its own and lists jobs that no other lists', async () => {
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
    const { jobs } = await getPage(api, key)
    expect(jobs.map(({ uuid }) => uuid)).toEqual([...account.allUuids()])
    uuids.push(...jobs.map(({ uuid }) => uuid))
  }
  expect(new Set(uuids).size).toBe(5 * 41)
  expect(api.requests.map(({ account }) => account)).toEqual([1, 2, 3, 4, 5])
})

test('the first account is the same whether or not it has company', async () => {
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

test.skipIf(!ownLoopback)(`each address has a budget of its own${LOOPBACK_NOTE}`, async () => {
  await using api = await startSimulator({ rateLimit: { limit: 1 } })

  expect(await askFrom(api, '127.0.0.2')).toBe('200 0')
  expect(await askFrom(api, '127.0.0.2')).toBe('429 0')
  expect(await askFrom(api, '127.0.0.3')).toBe('200 0')
  expect(api.requests.map(({ address }) => address)).toEqual(['127.0.0.2', '127.0.0.2', '127.0.0.3'])
})
