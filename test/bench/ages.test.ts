import { describe, expect, test } from 'vitest'
import { ageOf, createAgeCounts, lifeOf, saidAt } from '../../bench/freshness/ages.js'
import { createAccount } from '../../src/simulator/account.js'

const SAID = [
  { at: 1000, fields: 'pending 2 0 0' },
  { at: 2000, fields: 'running 2 0 0' },
  { at: 3000, fields: 'completed 2 2 0' },
]

describe('the age of a row', () => {
  test.each([
    ['is 0 while it equals what the API says', 'running 2 0 0', 2500, 0],
    ['counts from the first change after it', 'pending 2 0 0', 3500, 1500],
    ['counts from the change that replaced it', 'running 2 0 0', 3500, 500],
    ['counts from the creation of a job without a row', undefined, 3500, 2500],
    ['counts from the creation of a job whose row the API never said', 'failed 2 0 2', 1200, 200],
    ['is 0 at the very moment of the last change', 'completed 2 2 0', 3000, 0],
  ])('%s', (_claim, row, now, age) => {
    expect(ageOf(SAID, row, now)).toBe(age)
  })

  test('counts from the last time that the API said it, where it said it twice', () => {
    const said = [...SAID, { at: 4000, fields: 'running 2 0 0' }, { at: 5000, fields: 'completed 2 1 1' }]

    expect(ageOf(said, 'running 2 0 0', 3500)).toBe(500)
    expect(ageOf(said, 'running 2 0 0', 5600)).toBe(600)
  })
})

test('knows all that the simulated API says of a job, at every instant of its life', () => {
  const speed = 60
  let now = Date.parse('2026-11-27T00:00:00Z')
  const account = createAccount({ seed: 7, now: () => now, speed })
  const jobs = Array.from({ length: 10 }, () => account.addJob())
  const lives = jobs.map(({ uuid, createdAt }) => ({ uuid, said: lifeOf(uuid, createdAt, speed) }))
  expect(lives.some(({ said }) => said.length > 20)).toBe(true)

  const wrong: string[] = []
  const end = now + 730_000 / speed
  while (now < end) {
    now += 7
    for (const { uuid, said } of lives) {
      const { status, totalUrls, completedCount, failedCount } = account.job(uuid) ?? {}
      const fields = `${status} ${totalUrls} ${completedCount} ${failedCount}`
      if (saidAt(said, now) !== fields) wrong.push(`${uuid} at ${now}: ${fields}`)
    }
  }
  expect(wrong).toEqual([])
})

describe('percentiles of ages', () => {
  test('are the smallest age that the share of the rows does not exceed, to a tenth of a minute', () => {
    const counts = createAgeCounts()
    counts.add(0, 97)
    counts.add(4.96)
    counts.add(12)
    counts.add(30.04)

    expect(counts.percentile(0.5)).toBe(0)
    expect(counts.percentile(0.97)).toBe(0)
    expect(counts.percentile(0.98)).toBe(5)
    expect(counts.percentile(0.99)).toBe(12)
    expect(counts.percentile(1)).toBe(30)
  })

  test('do not exist without rows', () => {
    expect(createAgeCounts().percentile(0.5)).toBeNull()
    const none = createAgeCounts()
    none.add(0, 0)
    expect(none.percentile(0.99)).toBeNull()
  })
})
