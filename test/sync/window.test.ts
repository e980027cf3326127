import { describe, expect, test } from 'vitest'
import { toMicros } from '../../src/sync/instant.js'
import { createStretch } from '../../src/sync/window.js'
import { page, uuidOf } from '../support/pages.js'

const at = (second: number) => toMicros(new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString())
const p1 = page(
  1,
  [
    ['j9', 9],
    ['j8', 8],
  ],
  { total: 6, limit: 2 },
)
const p2 = page(
  2,
  [
    ['j7', 7],
    ['j6', 6],
  ],
  { total: 6, limit: 2 },
)
const p3 = page(
  3,
  [
    ['j5', 5],
    ['j4', 4],
  ],
  { total: 6, limit: 2 },
)

describe('the window of a stretch', () => {
  test('is open above the first page and below the last', () => {
    const stretch = createStretch(p1)
    stretch.add(p2, false)
    stretch.add(p3, false)
    expect(stretch.takeWindow()).toMatchObject({ upTo: null, after: null })
  })

  test('leaves out what ties with the first job of a stretch that begins below the head', () => {
    expect(createStretch(p2).takeWindow().upTo).toBe(at(7) - 1n)
  })

  test('leaves out what ties with the last job, until the next page is there', () => {
    const stretch = createStretch(p1)
    expect(stretch.takeWindow()).toMatchObject({ upTo: null, after: at(8) })
    stretch.add(p2, false)
    expect(stretch.takeWindow()).toMatchObject({ upTo: at(8), after: at(6) })
  })

  test('never rises again where a whole page ties with its first job', () => {
    const tied = page(
      2,
      [
        ['t1', 7],
        ['t2', 7],
      ],
      { total: 8, limit: 2 },
    )
    const stretch = createStretch(tied)
    expect(stretch.takeWindow()).toMatchObject({ upTo: at(7) - 1n, after: at(7) })
    const below = page(
      3,
      [
        ['t3', 7],
        ['j6', 6],
      ],
      { total: 8, limit: 2 },
    )
    stretch.add(below, false)
    expect(stretch.takeWindow()).toMatchObject({ upTo: at(7) - 1n, after: at(6) })
  })

  test('lists what ties with its upper bound, and forgets what is above it', () => {
    const stretch = createStretch(p1)
    stretch.takeWindow()
    stretch.add(p2, false)
    const { uuids } = stretch.takeWindow()
    expect(new Set(uuids)).toEqual(new Set(['j8', 'j7', 'j6'].map(uuidOf)))
  })

  test('does not exist where a page is unsorted, or begins above the one before', () => {
    const unsorted = createStretch(p1)
    unsorted.add(
      page(2, [
        ['j6', 6],
        ['j7', 7],
      ]),
      false,
    )
    expect(unsorted.isSorted).toBe(false)
    const risen = createStretch(p2)
    risen.add(p1, false)
    expect(risen.isSorted).toBe(false)
    expect(createStretch(p1).isSorted).toBe(true)
  })

  test('is proved by overlaps, not by pages that only adjoin', () => {
    const stretch = createStretch(p1)
    expect(stretch.isOverlapping).toBe(true)
    stretch.add(p2, true)
    expect(stretch.isOverlapping).toBe(true)
    stretch.add(p3, false)
    expect(stretch.isOverlapping).toBe(false)
  })
})
