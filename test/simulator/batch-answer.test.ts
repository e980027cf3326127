import { expect, test } from 'vitest'
import { createAccount } from '../../src/simulator/account.js'
import type { BatchAnswer, BatchItem } from '../../src/simulator/batch-answer.js'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'

function getBatch(api: Simulator, uuid: string, key = api.key) {
  return fetch(`${api.url}/batch/scrape/${uuid}`, { headers: { 'x-api-key': key }, signal: AbortSignal.timeout(5000) })
}

const parse = (text: string | undefined): BatchAnswer => JSON.parse(text ?? 'null')
const countOf = (items: readonly BatchItem[], status: string) => items.filter((item) => item.status === status).length

test('the items of a batch agree with the list at every instant, and an item that has ended never changes but by a retry', () => {
  const epoch = Date.parse('2026-11-01T00:00:00Z')
  let now = epoch
  const account = createAccount({ seed: 7, arrivalsPerMinute: 400, epoch, now: () => now })
  now = epoch + 3_000
  const uuids = [...account.allUuids()]
  const before = new Map<string, readonly BatchItem[]>()
  const seen = { retried: 0, cancelled: 0, failed: 0 }

  for (; now < epoch + 800_000; now += 7_300) {
    for (const uuid of uuids) {
      const { status, totalUrls, completedCount, failedCount, createdAt, finishedAt, items } = parse(
        account.batchText(uuid),
      )
      expect(account.job(uuid)).toMatchObject({ status, totalUrls, completedCount, failedCount, createdAt, finishedAt })
      expect([items.length, countOf(items, 'completed'), countOf(items, 'failed')]).toEqual([
        totalUrls,
        completedCount,
        failedCount,
      ])
      expect(status === 'cancelled' && items.some((item) => ['pending', 'running'].includes(item.status))).toBe(false)
      expect(items.filter((item) => Date.parse(item.finishedAt ?? '') > now)).toEqual([])
      const changed = items.filter((item, index) => {
        const earlier = before.get(uuid)?.[index]
        if (earlier === undefined || JSON.stringify(item) === JSON.stringify(earlier)) return false
        const isRetry = earlier.status === 'failed' && item.status !== 'failed' && item.uuid === earlier.uuid
        if (isRetry) seen.retried += 1
        return !isRetry && ['completed', 'failed'].includes(earlier.status)
      })
      expect(changed).toEqual([])
      seen.cancelled += countOf(items, 'cancelled')
      seen.failed += failedCount
      before.set(uuid, items)
    }
  }

  expect(uuids.length).toBeGreaterThan(15)
  for (const [what, times] of Object.entries(seen)) expect([what, times > 0]).toEqual([what, true])
})

test('items have unique uuids, results in the format of their batch, and errors of their host', () => {
  const account = createAccount({ jobs: 300 })
  const answers = [...account.allUuids()].map((uuid) => ({ job: account.job(uuid), ...parse(account.batchText(uuid)) }))
  const items = answers.flatMap(({ job, items }) => items.map((item) => ({ ...item, format: job?.outputFormat })))

  expect(new Set(items.map(({ uuid }) => uuid)).size).toBe(items.length)
  const completed = items.filter(({ status }) => status === 'completed')
  for (const { format, result } of completed) expect(typeof result).toBe(format === 'json' ? 'object' : 'string')
  expect(completed.some(({ result }) => Array.isArray(result) && result.length > 1)).toBe(true)
  for (const item of items.filter(({ status }) => status !== 'completed')) {
    expect(item).toMatchObject({ result: null, creditsUsed: 0, screenshotUrl: null })
  }
  const failed = items.filter(({ status }) => status === 'failed')
  const errors = new Map<string, Set<string | null>>()
  for (const { url, error } of failed) {
    const { host } = new URL(url)
    errors.set(host, (errors.get(host) ?? new Set()).add(error))
  }
  expect(errors.size).toBeGreaterThan(3)
  expect([...errors.values()].every((ofHost) => ofHost.size === 1)).toBe(true)
})

test('serves a batch to the key of its account only, within the rate limit', async () => {
  await using api = await startSimulator({ jobs: 3, accounts: 2, rateLimit: { limit: 6 } })
  const [uuid = ''] = api.account.allUuids()
  const answer = await getBatch(api, uuid.toUpperCase())
  expect(answer.status).toBe(200)
  expect(answer.headers.get('ratelimit-remaining')).toBe('5')
  expect(await answer.json()).toEqual(parse(api.account.batchText(uuid)))

  const refused = await getBatch(api, uuid, `${api.key}_2`)
  expect([refused.status, await refused.json()]).toEqual([404, { status: 'error', message: 'Batch not found' }])
  for (const unknown of ['nope', '00000000-0000-4000-8000-000000000000', `${uuid}/x`]) {
    expect([unknown, (await getBatch(api, unknown)).status]).toEqual([unknown, 404])
  }
  api.account.removeJob(uuid)
  expect((await getBatch(api, uuid)).status).toBe(404)
  expect((await getBatch(api, uuid, 'spd_other')).status).toBe(429)
  expect(api.requests.map(({ batch, page, status }) => [batch?.slice(0, 4) ?? null, page, status])).toEqual([
    [uuid.slice(0, 4), null, 200],
    [uuid.slice(0, 4), null, 404],
    ['nope', null, 404],
    ['0000', null, 404],
    [uuid.slice(0, 4), null, 404],
    [uuid.slice(0, 4), null, 404],
    [null, null, 429],
  ])
})

test('refuses a batch without a key and with a wrong one', async () => {
  await using api = await startSimulator({ jobs: 1 })
  const [uuid = ''] = api.account.allUuids()
  expect((await getBatch(api, uuid, '')).status).toBe(403)
  expect((await fetch(`${api.url}/batch/scrape/${uuid}`)).status).toBe(401)
})

test('gives a batch the faults that it can have, and those of a page only to pages', async () => {
  await using api = await startSimulator({ jobs: 20 })
  const uuid = [...api.account.allUuids()].find((one) => parse(api.account.batchText(one)).totalUrls > 12) ?? ''
  const whole = parse(api.account.batchText(uuid))
  const read = async () => (await (await getBatch(api, uuid)).json()) as BatchAnswer

  api.faults.next('emptyPage', { page: 'batch' })
  expect((await read()).items).toEqual([])
  api.faults.next('duplicatedItems', { page: 'batch' })
  expect((await read()).items.map(({ uuid }) => uuid)).toEqual([
    whole.items[0]?.uuid,
    ...whole.items.slice(0, -1).map(({ uuid }) => uuid),
  ])
  api.faults.next('wrongTotal', { page: 'batch' })
  expect(await read()).toMatchObject({ completedCount: whole.completedCount + 1, items: whole.items })
  api.faults.next('malformedItems', { page: 'batch' })
  const { items } = await read()
  expect(
    items.filter((item, index) => JSON.stringify(item) !== JSON.stringify(whole.items[index])).length,
  ).toBeGreaterThan(3)
  api.faults.next('totalPagesHigh', { page: 'batch' })
  expect(await read()).toEqual(whole)
  api.faults.next('http503', { page: 'batch' })
  expect((await getBatch(api, uuid)).status).toBe(503)

  api.faults.next('http500', { page: 1 })
  expect((await getBatch(api, uuid)).status).toBe(200)
  expect(api.faults.pending).toBe(1)
})

test('shows the fields of a batch that a test has set', async () => {
  await using api = await startSimulator({ jobs: 1 })
  const [uuid = ''] = api.account.allUuids()
  api.account.patchBatch(uuid, { items: [{ uuid: null, result: 3 }], status: 'sleeping' })
  expect(await (await getBatch(api, uuid)).json()).toMatchObject({
    items: [{ uuid: null, result: 3 }],
    status: 'sleeping',
  })
})
