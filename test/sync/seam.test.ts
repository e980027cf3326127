import { describe, expect, test } from 'vitest'
import { areOfTwoLists } from '../../src/sync/page.js'
import { deepestPage, highestPage, isSoundSeam, pageAt } from '../../src/sync/seam.js'
import { page } from '../support/pages.js'

type Jobs = readonly (readonly [string, number])[]

const list = (number: number, jobs: Jobs, total = 20) => page(number, jobs, { total, limit: 2 })
const A: Jobs = [
  ['j9', 9],
  ['j8', 8],
]
const B: Jobs = [
  ['j7', 7],
  ['j6', 6],
]
const a = list(1, A)
const b = list(2, B)
const overlapping = list(2, [
  ['j8', 8],
  ['j7', 7],
])

describe('isSoundSeam', () => {
  test('equal totals join adjoining pages of a list that loses nothing, whichever is the older answer', () => {
    expect(isSoundSeam(a, b, false)).toBe(true)
    expect(isSoundSeam({ ...a, askedAt: 5, answeredAt: 6 }, b, false)).toBe(true)
  })

  test('equal totals prove nothing in a list that loses jobs', () => {
    expect(isSoundSeam(a, b, true)).toBe(false)
  })

  test('equal totals prove nothing where places between the pages were never read', () => {
    expect(isSoundSeam(a, list(3, B), false)).toBe(false)
  })

  test('a shared job joins pages whatever their totals, and whatever the list loses', () => {
    for (const losesJobs of [true, false]) {
      expect(isSoundSeam(a, { ...overlapping, total: 21 }, losesJobs)).toBe(true)
      expect(isSoundSeam(a, { ...overlapping, total: 19 }, losesJobs)).toBe(true)
    }
  })

  test('another total without a shared job may hide one', () => {
    expect(isSoundSeam(a, { ...b, total: 19 }, false)).toBe(false)
    expect(isSoundSeam(a, { ...b, total: 21 }, false)).toBe(false)
  })

  test('a faulty page joins nothing', () => {
    expect(isSoundSeam({ ...a, fault: 'lies' }, b, false)).toBe(false)
    expect(isSoundSeam(a, { ...overlapping, fault: 'lies' }, false)).toBe(false)
  })
})

describe('pages that overlap', () => {
  /** Pages of a list of `total` jobs, each beginning at the last job of the one above; with the places they cover. */
  function cover(total: number, mostJobs: number): { readonly pages: number; readonly isWhole: boolean } {
    let end = mostJobs
    let pages = 1
    while (end < total) {
      const asked = deepestPage(end - 1, mostJobs)
      if (asked === null) return { pages, isWhole: false }
      const start = (asked.number - 1) * asked.limit
      expect(start).toBeLessThan(end)
      end = asked.number * asked.limit
      pages += 1
    }
    return { pages, isWhole: true }
  }

  test.each([1_000, 20_000, 100_000])('cost at most 22 percent more than pages that adjoin, for %i jobs', (total) => {
    const { pages, isWhole } = cover(total, 50)
    expect(isWhole).toBe(true)
    expect(pages / Math.ceil(total / 50)).toBeLessThanOrEqual(1.22)
  })

  test('begin at or above the place, and reach below it', () => {
    for (let place = 0; place < 10_000; place += 7) {
      const { number, limit } = deepestPage(place, 50) ?? { number: 0, limit: 0 }
      expect((number - 1) * limit).toBeLessThanOrEqual(place)
      expect(number * limit).toBeGreaterThan(place + 1)
    }
  })

  test.each([50, 49, 20, 7])('are the deepest and the highest among the pages of 1 to %i jobs', (mostJobs) => {
    for (let place = 0; place < 3_000; place += 1) {
      const all = Array.from({ length: mostJobs }, (_, index) => pageAt(place, index + 1))
      const lowestEnd = Math.max(...all.map(({ number, limit }) => number * limit))
      const highestStart = Math.min(...all.map(({ number, limit }) => (number - 1) * limit))
      const deepest = deepestPage(place, mostJobs)
      const highest = highestPage(place, mostJobs)

      expect(deepest === null ? place + 1 : deepest.number * deepest.limit).toBe(lowestEnd)
      expect((highest.number - 1) * highest.limit).toBe(highestStart)
      // Of those, the ones with the most jobs.
      if (deepest !== null) {
        const deepestOnes = all.filter(({ number, limit }) => number * limit === lowestEnd)
        expect(deepest.limit).toBe(Math.max(...deepestOnes.map(({ limit }) => limit)))
      }
    }
  })

  test('cannot be had everywhere where a page has few jobs', () => {
    expect(deepestPage(0, 1)).toBeNull()
    expect(deepestPage(1, 2)).toBeNull()
    expect(deepestPage(11, 4)).toBeNull()
    expect(cover(1_000, 5).isWhole).toBe(false)
    expect(cover(1_000, 20).isWhole).toBe(true)
  })

  test('of all pages that hold a place, the highest begins furthest above it, and the first page is a full one', () => {
    for (let place = 0; place < 5_000; place += 13) {
      const { number, limit } = highestPage(place, 50)
      const start = (number - 1) * limit
      expect(start).toBeLessThanOrEqual(place)
      expect(number * limit).toBeGreaterThan(place)
      expect(start).toBeLessThanOrEqual((pageAt(place, 50).number - 1) * 50)
    }
    expect(highestPage(30, 50)).toEqual({ number: 1, limit: 50 })
  })
})

describe('areOfTwoLists', () => {
  test('answers for page 1 that share nothing though their jobs are of the same time are of two lists', () => {
    const other = list(1, [
      ['x9', 9],
      ['x7', 7],
    ])
    expect(areOfTwoLists(a, other)).toBe(true)
  })

  test('a page of newer jobs, an older answer, an overlap and an empty list are of one', () => {
    const newer = list(1, [
      ['j11', 11],
      ['j10', 10],
    ])
    expect(areOfTwoLists(a, newer)).toBe(false)
    expect(areOfTwoLists(newer, a)).toBe(false)
    expect(areOfTwoLists(a, overlapping)).toBe(false)
    expect(areOfTwoLists(a, list(1, [], 0))).toBe(false)
    expect(areOfTwoLists(list(1, [], 0), a)).toBe(false)
  })

  test('a page that begins with a job as old as the last one of the other is of the same list', () => {
    const older = list(1, [
      ['x8', 8],
      ['x7', 7],
    ])
    expect(areOfTwoLists(a, older)).toBe(false)
    expect(areOfTwoLists(older, a)).toBe(false)
  })
})
