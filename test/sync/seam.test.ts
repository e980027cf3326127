import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isSoundSeam, isStillBlock, joins } from '../../src/sync/seam.js'
import { page } from '../support/pages.js'

const a = page(
  1,
  [
    ['j9', 9],
    ['j8', 8],
  ],
  { total: 20 },
)
const b = page(
  2,
  [
    ['j7', 7],
    ['j6', 6],
  ],
  { total: 20 },
)

describe('isSoundSeam', () => {
  test('equal totals join two pages that were asked one after the other', () => {
    expect(isSoundSeam(a, b)).toBe(true)
  })

  test('equal totals prove nothing when the lower page is the older answer', () => {
    expect(isSoundSeam({ ...a, askedAt: 5, answeredAt: 6 }, b)).toBe(false)
  })

  test('a shared job joins pages whatever their totals', () => {
    expect(
      isSoundSeam(
        a,
        page(
          2,
          [
            ['j8', 8],
            ['j7', 7],
          ],
          { total: 21 },
        ),
      ),
    ).toBe(true)
  })

  test('another total without a shared job may hide one', () => {
    expect(isSoundSeam(a, { ...b, total: 19 })).toBe(false)
    expect(isSoundSeam(a, { ...b, total: 21 })).toBe(false)
  })

  test('a faulty page joins nothing', () => {
    expect(isSoundSeam({ ...a, fault: 'lies' }, b)).toBe(false)
    expect(isSoundSeam(a, { ...b, fault: 'lies' })).toBe(false)
  })
})

describe('joins', () => {
  test('an answer takes the place of an older one that it overlaps', () => {
    expect(
      joins(
        page(2, [
          ['j6', 6],
          ['j5', 5],
        ]),
        b,
      ),
    ).toBe(true)
  })

  test('an answer that ends above where the older one began leaves nothing out', () => {
    expect(
      joins(
        page(2, [
          ['n2', 10],
          ['n1', 9],
        ]),
        b,
      ),
    ).toBe(true)
  })

  test('one that ties with the older one, or lies below it, may', () => {
    expect(
      joins(
        page(2, [
          ['n2', 10],
          ['n1', 7],
        ]),
        b,
      ),
    ).toBe(false)
    expect(
      joins(
        page(2, [
          ['j5', 5],
          ['j4', 4],
        ]),
        b,
      ),
    ).toBe(false)
  })

  test('the head joins always, a faulty answer never, an empty or unsorted one not by its dates', () => {
    expect(joins(page(1, [['x', 1]]), b)).toBe(true)
    expect(joins(page(2, [['j6', 6]], { fault: 'lies' }), b)).toBe(false)
    expect(joins(page(2, []), b)).toBe(false)
    expect(
      joins(
        page(2, [
          ['n1', 9],
          ['n2', 10],
        ]),
        b,
      ),
    ).toBe(false)
  })
})

describe('isStillBlock', () => {
  const head = page(
    1,
    [
      ['j9', 9],
      ['j8', 8],
    ],
    { total: 20 },
  )

  test('equal totals and an unchanged head leave no move', () => {
    expect(isStillBlock(head, [b], { ...head, askedAt: 9, answeredAt: 9 })).toBe(true)
  })

  test('another total, another head, another order or a fault does not count', () => {
    expect(isStillBlock(head, [{ ...b, total: 19 }], head)).toBe(false)
    expect(isStillBlock(head, [b], { ...head, total: 21 })).toBe(false)
    expect(
      isStillBlock(
        head,
        [b],
        page(
          1,
          [
            ['new', 10],
            ['j9', 9],
          ],
          { total: 20 },
        ),
      ),
    ).toBe(false)
    expect(
      isStillBlock(
        head,
        [b],
        page(
          1,
          [
            ['j8', 8],
            ['j9', 9],
          ],
          { total: 20 },
        ),
      ),
    ).toBe(false)
    expect(isStillBlock(head, [{ ...b, fault: 'lies' }], head)).toBe(false)
  })

  test('what it accepts is the list as it was, whatever came and went in between', () => {
    const move = fc.oneof(fc.constant('come' as const), fc.nat(11))
    const moves = fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(move, { maxLength: 2 }))
    let accepted = 0
    fc.assert(
      fc.property(
        fc.array(moves, { minLength: 5, maxLength: 5 }),
        fc.shuffledSubarray([2, 3, 4], { minLength: 3 }),
        (planned, order) => {
          let ids = 12
          let list = Array.from({ length: 12 }, (_, index): [number, number] => [12 - index, 12 - index])
          const read = (number: number, at: number) => {
            for (const one of planned[at] ?? []) {
              if (one === 'come') {
                ids += 1
                list = [[ids, ids], ...list]
              } else list = list.filter((_, index) => index !== one)
            }
            return page(number, list.slice((number - 1) * 3, number * 3), { total: list.length, limit: 3, at })
          }
          const before = read(1, 0)
          const original = list
          const block = order.map((number, index) => read(number, index + 1)).sort((x, y) => x.number - y.number)
          const after = read(1, 4)
          if (!isStillBlock(before, block, after)) return
          accepted += 1
          const seen = block.flatMap((one) => [...one.uuids])
          expect(seen).toEqual([...page(2, original.slice(3, 12)).uuids])
        },
      ),
      { numRuns: 3_000 },
    )
    expect(accepted).toBeGreaterThan(30)
  })
})
