import { describe, expect, test } from 'vitest'
import { isSoundSeam, joins } from '../../src/sync/seam.js'
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
