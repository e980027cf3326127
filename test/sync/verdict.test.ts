import { expect, test } from 'vitest'
import { decideVerdict, isMassRemoval } from '../../src/sync/verdict.js'

const proof = { isWhole: true, hasFaultyPage: false, listedTotal: 10, storedTotal: 10, isDoubtful: false }

test('says complete only when everything speaks for it', () => {
  expect(decideVerdict(proof)).toEqual({ status: 'complete', reason: null })
})

test.each([
  [{ isWhole: false }, 'first_pass_unfinished'],
  [{ hasFaultyPage: true }, 'page_faulty'],
  [{ storedTotal: 9 }, 'fewer_stored_than_listed'],
  [{ storedTotal: 11 }, 'more_stored_than_listed'],
  [{ isDoubtful: true }, 'assumption_broken'],
])('%j makes it partial: %s', (evidence, reason) => {
  expect(decideVerdict({ ...proof, ...evidence })).toEqual({ status: 'partial', reason })
})

test.each([
  [0, 0, false],
  [1, 1, true],
  [50, 51, false],
  [51, 100, true],
  [51, 255, false],
  [51, 254, true],
  [1000, 1_000_000, false],
])('%i missing of %i live jobs: mass removal %s', (missing, live, isMass) => {
  expect(isMassRemoval(missing, live)).toBe(isMass)
})
