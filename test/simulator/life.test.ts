import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type LifeState, LONGEST_LIFE_MS, lifeAt } from '../../src/simulator/life.js'
import { toIdentity, toSeedKey } from '../../src/simulator/random.js'

const identities = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const ages = fc.integer({ min: 0, max: LONGEST_LIFE_MS + 1000 })

function done(state: LifeState): number {
  return state.completedCount + state.failedCount
}

test('the status never contradicts the counts', () => {
  fc.assert(
    fc.property(identities, ages, (identity, ageMs) => {
      const state = lifeAt(identity, ageMs)
      expect(state.totalUrls).toBeGreaterThanOrEqual(1)
      expect(state.totalUrls).toBeLessThanOrEqual(50)
      expect(Math.min(state.completedCount, state.failedCount)).toBeGreaterThanOrEqual(0)
      expect(done(state)).toBeLessThanOrEqual(state.totalUrls)
      expect(state.finishedMs === null).toBe(state.status === 'pending' || state.status === 'running')
      if (state.finishedMs !== null) expect(state.finishedMs).toBeLessThanOrEqual(ageMs)
      if (state.status === 'pending') expect(done(state)).toBe(0)
      if (state.status === 'running' || state.status === 'cancelled') expect(done(state)).toBeLessThan(state.totalUrls)
      if (state.status === 'completed') expect(done(state)).toBe(state.totalUrls)
      if (state.status === 'completed') expect(state.completedCount).toBeGreaterThan(0)
      if (state.status === 'failed') expect(state.failedCount).toBe(state.totalUrls)
    }),
    { numRuns: 5000 },
  )
})

test('a job only goes forward, except a completed one with failures that is retried', () => {
  const rank = { pending: 0, running: 1, completed: 2, failed: 2, cancelled: 2 }
  fc.assert(
    fc.property(identities, ages, ages, (identity, one, other) => {
      const before = lifeAt(identity, Math.min(one, other))
      const after = lifeAt(identity, Math.max(one, other))
      expect(after.completedCount).toBeGreaterThanOrEqual(before.completedCount)
      if (rank[after.status] < rank[before.status]) {
        expect([before.status, after.status]).toEqual(['completed', 'running'])
        expect(after.failedCount).toBeLessThan(before.failedCount)
      }
    }),
    { numRuns: 5000 },
  )
})

test('every job is in its final state at LONGEST_LIFE_MS', () => {
  fc.assert(
    fc.property(identities, fc.integer({ min: 0, max: 10 ** 9 }), (identity, laterMs) => {
      expect(lifeAt(identity, LONGEST_LIFE_MS + laterMs)).toEqual(lifeAt(identity, LONGEST_LIFE_MS))
    }),
  )
})

test('a few hundred jobs include every final state, and retries', () => {
  const ends = { completed: 0, failed: 0, cancelled: 0, imperfect: 0, retried: 0 }
  for (let number = 0; number < 500; number += 1) {
    const identity = toIdentity(toSeedKey(1), number)
    const states: LifeState[] = []
    for (let ageMs = 0; ageMs <= LONGEST_LIFE_MS; ageMs += 1000) states.push(lifeAt(identity, ageMs))
    const last = states.at(-1)
    if (last?.status === 'completed' || last?.status === 'failed' || last?.status === 'cancelled')
      ends[last.status] += 1
    if (last?.status === 'completed' && last.failedCount > 0) ends.imperfect += 1
    const finished = states.findIndex((state) => state.status === 'completed')
    if (finished >= 0 && states.slice(finished).some((state) => state.status === 'running')) ends.retried += 1
  }
  for (const count of Object.values(ends)) expect(count).toBeGreaterThan(10)
})
