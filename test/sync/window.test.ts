import { describe, expect, test } from 'vitest'
import { toMicros } from '../../src/sync/instant.js'
import type { Page } from '../../src/sync/page.js'
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

/** A page whose items are all rejected, given by name; null stands for one without a readable uuid. */
function rejected(number: number, names: readonly (string | null)[], total = 8): Page {
  const items = names.map((name, index) => ({
    uuid: name === null ? null : uuidOf(name),
    fingerprint: `item ${number}.${index}`,
  }))
  return { ...page(number, [], { total, limit: 2 }), rejected: items }
}

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

  test('moves down with every page, and lists only what is undecided', () => {
    const [first, ...lower] = [9, 8, 7, 6].map((second, index) =>
      page(index + 1, [[`j${second}`, second]], { total: 8, limit: 2 }),
    )
    const stretch = createStretch(first ?? p1)
    const windows = lower.map((below) => {
      const { upTo, after } = stretch.takeWindow()
      stretch.add(below, false)
      return { upTo, after }
    })
    expect(windows).toEqual([
      { upTo: null, after: at(9) },
      { upTo: at(9), after: at(8) },
      { upTo: at(8), after: at(7) },
    ])
    expect(stretch.takeWindow()).toEqual({
      ...{ upTo: at(7), after: null, newest: null, unidentified: new Set() },
      uuids: ['j7', 'j6'].map(uuidOf),
    })
  })

  test('leaves undecided what ties with its last job, also below the head', () => {
    const stretch = createStretch(p2)
    stretch.takeWindow()
    stretch.add(p3, false)
    expect(stretch.takeWindow().upTo).toBe(at(6))
  })

  test('reports how many answers came since the last one', () => {
    const stretch = createStretch(p1)
    stretch.add(p2, false)
    expect(stretch.answers).toBe(2)
    stretch.takeWindow()
    expect(stretch.answers).toBe(0)
    stretch.add(p3, false)
    expect(stretch.answers).toBe(1)
  })

  test('names the newest job of page 1 while it reaches up to it: an older answer may lack a newer one', () => {
    const tied = page(
      1,
      [
        ['t1', 9],
        ['t2', 9],
      ],
      { total: 6, limit: 2 },
    )
    const stretch = createStretch(tied)
    expect(stretch.takeWindow()).toMatchObject({ upTo: null, newest: at(9) })
    stretch.add(p2, false)
    // Jobs that tie with the newest one are still undecided.
    expect(stretch.takeWindow()).toMatchObject({ upTo: at(9), newest: at(9) })
    stretch.add(p3, false)
    expect(stretch.takeWindow()).toMatchObject({ upTo: at(6), newest: null })
    expect(createStretch(p2).takeWindow().newest).toBeNull()
    const below = createStretch(
      page(
        2,
        [
          ['t3', 7],
          ['t4', 7],
        ],
        { total: 6, limit: 2 },
      ),
    )
    below.takeWindow()
    expect(below.takeWindow().newest).toBeNull()
  })

  test('exists where a page ties with the one above, or overlaps it and begins higher up', () => {
    const tie = createStretch(p2)
    tie.add(
      page(3, [
        ['j7b', 7],
        ['j5', 5],
      ]),
      false,
    )
    expect(tie.isSorted).toBe(true)
    const overlapping = createStretch(p2)
    overlapping.add(
      page(2, [
        ['j8', 8],
        ['j7', 7],
      ]),
      true,
    )
    expect(overlapping.isSorted).toBe(true)
  })

  test('exists where one page is out of order, only without that page', () => {
    const stretch = createStretch(
      page(1, [
        ['j8', 8],
        ['j9', 9],
      ]),
    )
    stretch.add(p2, true)
    expect(stretch.isSorted).toBe(false)
    expect(createStretch(p2).isSorted).toBe(true)
  })
})

describe('a page whose items are all rejected', () => {
  test('does not end a window: it ends at the last job above the page', () => {
    const stretch = createStretch(p1)
    stretch.add(rejected(2, ['spoilt', null]), false)

    expect(stretch.isSorted).toBe(true)
    expect(stretch.takeWindow()).toEqual({
      ...{ upTo: null, after: at(8), newest: at(9), unidentified: new Set(['item 2.1']) },
      uuids: ['j9', 'j8', 'spoilt'].map(uuidOf),
    })
    stretch.add(p3, false)
    expect(stretch.takeWindow()).toMatchObject({ upTo: at(8), after: null, newest: null })
  })

  test('hides no page that begins above the last job before it', () => {
    const stretch = createStretch(p2)
    stretch.add(rejected(3, ['spoilt']), false)
    stretch.add(p1, false)
    expect(stretch.isSorted).toBe(false)
  })

  test('begins no window below the head: the first job below it does', () => {
    const stretch = createStretch(rejected(2, [null]))
    expect(stretch.isSorted).toBe(false)
    stretch.takeWindow()
    stretch.add(rejected(3, [null]), false)
    expect(stretch.isSorted).toBe(false)
    stretch.add({ ...p3, number: 3 }, false)
    expect(stretch.isSorted).toBe(true)
    expect(stretch.takeWindow()).toMatchObject({ upTo: at(5) - 1n })
  })

  test('begins an open window at the head', () => {
    const stretch = createStretch(rejected(1, [null]))
    expect(stretch.isSorted).toBe(false)
    stretch.add(p2, false)
    expect(stretch.isSorted).toBe(true)
    expect(stretch.takeWindow()).toMatchObject({ upTo: null, after: at(6), newest: null })
  })

  test('is a window if it is the whole list, and not if it is only its end', () => {
    expect(createStretch(rejected(1, [null], 1)).isSorted).toBe(true)
    expect(createStretch(rejected(4, [null])).isSorted).toBe(false)
  })
})
