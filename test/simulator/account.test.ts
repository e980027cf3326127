import { createHash } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Account, type AccountOptions, createAccount } from '../../src/simulator/account.js'
import { fromIsoText } from '../../src/simulator/instant.js'
import type { ListedJob } from '../../src/simulator/job.js'

const EPOCH = Date.parse('2026-01-15T12:00:00Z')
const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** An account with a clock that the test sets. */
function clocked(options: AccountOptions) {
  const clock = { minutes: 0 }
  const account = createAccount({ epoch: EPOCH, now: () => EPOCH + clock.minutes * 60_000, ...options })
  return { account, clock }
}

/** A function that collects garbage at once, so that what is measured is what is held. */
function forceableGarbageCollection(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc')
}

function allJobs(account: Account): readonly ListedJob[] {
  const { totalPages } = account.list({ page: 1, limit: 50 }).pagination
  return Array.from({ length: totalPages }, (_, index) => account.list({ page: index + 1, limit: 50 }).jobs).flat()
}

function instantOf(job: ListedJob): number {
  return fromIsoText(job.createdAt) ?? Number.NaN
}

test('has the same jobs for the same seed, in every process and on every machine', () => {
  const { account, clock } = clocked({ seed: 7, jobs: 5000, arrivalsPerMinute: 10, removalsPerMinute: 2 })
  clock.minutes = 60
  const digest = createHash('sha256')
    .update(JSON.stringify(allJobs(account)))
    .digest('hex')
  expect(digest.slice(0, 16)).toBe('6bb56309af7bd237')
})

test('is the same however often someone looked', () => {
  const options: AccountOptions = { jobs: 300, arrivalsPerMinute: 7, removalsPerMinute: 3, ties: 0.3 }
  const seldom = clocked(options)
  const often = clocked(options)
  for (let minutes = 0; minutes <= 90; minutes += 0.5) {
    often.clock.minutes = minutes
    often.account.list({ page: 1, limit: 1 })
  }
  seldom.clock.minutes = 90
  expect(allJobs(often.account)).toEqual(allJobs(seldom.account))
})

test('shares no uuid, and none with another seed', () => {
  const uuids = [1, 2].flatMap((seed) => [...clocked({ seed, jobs: 100_000 }).account.allUuids()])
  expect(new Set(uuids).size).toBe(200_000)
  for (const uuid of uuids.slice(0, 1000)) expect(uuid).toMatch(UUID_V4)
})

test('lists the newest first, with ties and fractions in the shares asked for', () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.nat(),
        jobs: fc.nat(400),
        arrivalsPerMinute: fc.constantFrom(0, 5, 20_000),
        ties: fc.constantFrom(0, 0.4, 1),
        fractions: fc.constantFrom(0, 0.5, 1),
        speed: fc.constantFrom(0.5, 1, 60),
      }),
      fc.double({ min: 0, max: 0.1, noNaN: true }),
      (options, minutes) => {
        const { account, clock } = clocked(options)
        clock.minutes = minutes
        const jobs = allJobs(account)
        expect(jobs.map((job) => job.uuid)).toEqual([...account.allUuids()])
        const instants = jobs.map(instantOf)
        expect(instants).toEqual(instants.toSorted((one, other) => other - one))
        if (options.ties === 0) expect(new Set(instants).size).toBe(instants.length)
        if (options.arrivalsPerMinute > 0) return
        const fractional = jobs.filter((job) => job.createdAt.includes('.')).length
        if (options.fractions === 0) expect(fractional).toBe(0)
        if (options.fractions === 1) expect(fractional).toBe(jobs.length)
      },
    ),
    { numRuns: 50 },
  )
})

test('begins with a history of finished jobs', () => {
  for (const job of allJobs(clocked({ jobs: 2000, speed: 0.1 }).account)) {
    expect(['completed', 'failed', 'cancelled']).toContain(job.status)
    expect(Date.parse(job.finishedAt ?? '')).toBeGreaterThanOrEqual(Date.parse(job.createdAt))
    expect(Date.parse(job.finishedAt ?? '')).toBeLessThanOrEqual(EPOCH)
  }
})

test('lets jobs arrive at the head, live, finish and be retried as the clock goes on', () => {
  const { account, clock } = clocked({ jobs: 100, arrivalsPerMinute: 30 })
  const history = [...account.allUuids()]
  const statuses = new Map<string, Set<string>>()
  let isReopened = false
  for (clock.minutes = 0; clock.minutes <= 30; clock.minutes += 0.25) {
    for (const job of account.list({ page: 1, limit: 500 }).jobs) {
      const seen = statuses.get(job.uuid) ?? new Set()
      isReopened ||= seen.has('completed') && job.status === 'running'
      statuses.set(job.uuid, seen.add(job.status))
    }
  }
  expect(account.total).toBeGreaterThanOrEqual(100 + 30 * 30 - 1)
  expect([...account.allUuids()].slice(-100)).toEqual(history)
  expect(isReopened).toBe(true)
  expect(new Set([...statuses.values()].flatMap((seen) => [...seen]))).toEqual(
    new Set(['pending', 'running', 'completed', 'failed', 'cancelled']),
  )
})

test('never shows a job that a clock set back has not seen yet', () => {
  const { account, clock } = clocked({ jobs: 10, arrivalsPerMinute: 60 })
  clock.minutes = 5
  const before = allJobs(account)
  clock.minutes = 1
  expect(allJobs(account)).toEqual(before)
})

test('removes the oldest where it keeps for a time only, else any', () => {
  const tail = clocked({ jobs: 100, removalsPerMinute: 2, removalsFrom: 'tail' })
  const anywhere = clocked({ jobs: 100, removalsPerMinute: 2 })
  const before = [...tail.account.allUuids()]
  tail.clock.minutes = 10
  anywhere.clock.minutes = 10
  expect([...tail.account.allUuids()]).toEqual(before.slice(0, 80))
  expect(anywhere.account.total).toBe(80)
  expect([...anywhere.account.allUuids()]).not.toEqual(before.slice(0, 80))
  tail.clock.minutes = 1000
  expect(tail.account.total).toBe(0)
})

test('a capped list keeps its total: each arrival drops the oldest', () => {
  const options: AccountOptions = { arrivalsPerMinute: 30, ties: 0.2 }
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1, max: 300 }), fc.nat(40), (seed, cap, minutes) => {
      const capped = clocked({ ...options, seed, jobs: cap + 50, cap })
      const endless = clocked({ ...options, seed, jobs: cap })
      for (const { clock } of [capped, endless]) clock.minutes = minutes

      expect(capped.account.total).toBe(cap)
      expect([...capped.account.allUuids()]).toEqual([...endless.account.allUuids()].slice(0, cap))
    }),
    { numRuns: 50 },
  )
})

test('a capped list fills up with arrivals before it drops any', () => {
  const { account, clock } = clocked({ jobs: 10, cap: 40, arrivalsPerMinute: 1, ties: 0 })
  const totals = [0, 20, 30, 31, 90].map((minutes) => {
    clock.minutes = minutes
    return account.total
  })
  expect(totals[0]).toBe(10)
  expect(totals[1]).toBeGreaterThan(25)
  expect(totals.slice(3)).toEqual([40, 40])
})

test('what a capped list dropped stays gone when a job above it is removed, and makes room for the next', () => {
  const { account } = clocked({ jobs: 3, cap: 3 })
  const [newest, middle, oldest] = [...account.allUuids()]
  const added = account.addJob()
  expect([...account.allUuids()]).toEqual([added.uuid, newest, middle])
  expect(account.job(oldest ?? '')).toBeUndefined()

  account.removeJob(newest ?? '')
  expect([...account.allUuids()]).toEqual([added.uuid, middle])
  account.addJob()
  expect(account.total).toBe(3)
  account.restoreJob(newest ?? '')
  expect([...account.allUuids()]).toHaveLength(3)
  expect([...account.allUuids()]).not.toContain(middle)
})

test('a capped list is the same however often someone looked', () => {
  const options: AccountOptions = { jobs: 60, cap: 60, arrivalsPerMinute: 9, removalsPerMinute: 4, ties: 0.3 }
  const seldom = clocked(options)
  const often = clocked(options)
  for (let minutes = 0; minutes <= 90; minutes += 0.5) {
    often.clock.minutes = minutes
    expect(often.account.total).toBeLessThanOrEqual(60)
  }
  seldom.clock.minutes = 90
  expect(allJobs(often.account)).toEqual(allJobs(seldom.account))
})

test('a new job moves all others down by one, a removed one moves those below it up', () => {
  const { account } = clocked({ jobs: 30 })
  const [first = '', second = '', ...others] = account.allUuids()
  const added = account.addJob()
  expect(added.status).toBe('pending')
  expect([...account.allUuids()]).toEqual([added.uuid, first, second, ...others])
  expect(instantOf(added)).toBeGreaterThanOrEqual(EPOCH * 1000)

  account.removeJob(second)
  expect([...account.allUuids()]).toEqual([added.uuid, first, ...others])
  expect(account.job(second)).toBeUndefined()
  expect(() => account.removeJob(second)).toThrow('not listed')

  account.restoreJob(second)
  account.removeJob(added.uuid)
  expect([...account.allUuids()]).toEqual([first, second, ...others])
  account.restoreJob(added.uuid)
  expect(account.list({ page: 1, limit: 1 }).jobs).toEqual([added])
  expect(account.total).toBe(31)
})

test('an added job lives, unless its fields were set', () => {
  const { account, clock } = clocked({ jobs: 3 })
  const living = account.addJob()
  const still = account.addJob({ status: 'running', completedCount: 2, totalUrls: 9, note: 'mine' })
  expect(still).toMatchObject({ status: 'running', completedCount: 2, failedCount: 0, finishedAt: null, note: 'mine' })
  clock.minutes = 60
  expect(account.job(living.uuid)?.finishedAt).not.toBeNull()
  expect(account.job(still.uuid)).toEqual(still)
})

test('puts an added job where its createdAt belongs', () => {
  const { account } = clocked({ jobs: 30, ties: 0 })
  const jobs = allJobs(account)
  const { createdAt = '' } = jobs[10] ?? {}
  const added = account.addJob({ uuid: '11111111-1111-4111-8111-111111111111', createdAt })
  expect(allJobs(account).map((job) => job.uuid)).toEqual(jobs.map((job) => job.uuid).toSpliced(10, 0, added.uuid))
  account.removeJob(added.uuid)
  expect(allJobs(account)).toEqual(jobs)
})

test('an updated job agrees with its new status and keeps its place', () => {
  const { account } = clocked({ jobs: 30 })
  const uuids = [...account.allUuids()]
  const job = account.list({ page: 5, limit: 1 }).jobs[0]
  const running = account.updateJob(job?.uuid ?? '', { status: 'running' })
  expect(running.finishedAt).toBeNull()
  expect(running.completedCount + running.failedCount).toBeLessThan(running.totalUrls)
  const completed = account.updateJob(running.uuid, { status: 'completed', failedCount: 1 })
  expect(completed.completedCount).toBe(completed.totalUrls - 1)
  expect(completed.finishedAt).toBe('2026-01-15T12:00:00Z')
  expect([...account.allUuids()]).toEqual(uuids)
})

test('lists fixed items as they are and in their order, and new jobs above them', () => {
  const items = [{ uuid: 'b', createdAt: '2026-01-01T00:00:00Z' }, null, { createdAt: 'never' }, { uuid: 'a' }]
  const { account } = clocked({ items })
  expect(account.list({ page: 1, limit: 50 }).jobs).toEqual(items)
  const added = account.addJob()
  account.removeJob('b')
  account.updateJob('a', { status: 'odd' })
  expect(account.list({ page: 1, limit: 50 }).jobs).toEqual([added, null, items[2], { uuid: 'a', status: 'odd' }])
  expect([...account.allUuids()]).toEqual([added.uuid, 'a'])
})

test('counts its pages, and an empty list as it is told to', () => {
  const { account } = clocked({ jobs: 101 })
  expect(account.list({ page: 3, limit: 50 })).toMatchObject({
    jobs: [expect.anything()],
    pagination: { page: 3, limit: 50, total: 101, totalPages: 3 },
  })
  expect(account.list({ page: 4, limit: 50 }).jobs).toEqual([])
  expect(clocked({}).account.list({ page: 1, limit: 50 }).pagination.totalPages).toBe(0)
  expect(clocked({ totalPagesWhenEmpty: 1 }).account.list({ page: 1, limit: 50 }).pagination.totalPages).toBe(1)
})

test('sends what no documentation knows when asked to', () => {
  const jobs = allJobs(clocked({ jobs: 400, oddities: 0.5 }).account)
  expect(jobs.some((job) => 'labels' in job)).toBe(true)
  expect(jobs.some((job) => job.status === 'expired')).toBe(true)
  expect(jobs.some((job) => job.outputFormat === 'table' && job.scrapingChannel === null)).toBe(true)
  expect(jobs.some((job) => job.createdAt.endsWith('+02:00'))).toBe(true)
  const instants = jobs.map(instantOf)
  expect(instants).toEqual(instants.toSorted((one, other) => other - one))
})

test('holds a million jobs in no memory, and shows each page without building the others', () => {
  const collectGarbage = forceableGarbageCollection()
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  const { account } = clocked({ jobs: 1_000_000, arrivalsPerMinute: 10 })
  for (const uuid of account.list({ page: 9000, limit: 50 }).jobs.map((job) => job.uuid)) account.removeJob(uuid)
  // 500 pages take 0.03 s. Pages that built a million jobs would take minutes, and end in the timeout of the test.
  for (let page = 1; page <= 20_000; page += 40)
    expect(account.listText({ page, limit: 50 })).toContain('"total":999950')
  collectGarbage()
  // A million objects of any kind need more than 16 MB.
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(10_000_000)
})
