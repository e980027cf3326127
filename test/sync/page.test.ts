import { describe, expect, test } from 'vitest'
import type { ListAnswer } from '../../src/spidra/client.js'
import { parseListBody } from '../../src/spidra/wire.js'
import { faultOf, isLast, toPage } from '../../src/sync/page.js'
import { item, page } from '../support/pages.js'

function answer(jobs: readonly object[], pagination: Partial<ListAnswer['pagination']> = {}): ListAnswer {
  const total = pagination.total ?? jobs.length
  const body = parseListBody(
    JSON.stringify({ jobs, pagination: { page: 1, limit: 2, total, totalPages: Math.ceil(total / 2), ...pagination } }),
  )
  if (body === null) throw new Error('no list')
  return { ...body, askedAt: 1, answeredAt: 2, fault: null }
}

const two = [item('a', 2), item('b', 1)]

describe('faultOf', () => {
  test.each([
    ['a full page', answer(two, { total: 5 }), 1],
    ['the last page', answer([item('a', 2)], { page: 3, total: 5 }), 3],
    ['a page past the end', answer([], { page: 4, total: 5 }), 4],
    ['an empty list with no page', answer([]), 1],
    ['an empty list with one page', answer([], { totalPages: 1 }), 1],
  ])('finds none in %s', (_, candidate, number) => {
    expect(faultOf(candidate, { page: number, limit: 2 })).toBeNull()
  })

  test.each([
    ['another page', answer(two, { page: 2, total: 5 }), /page 2/],
    ['another limit', answer(two, { limit: 3, total: 2, totalPages: 1 }), /limit is 3/],
    ['too many pages', answer(two, { total: 5, totalPages: 4 }), /4 pages for a total of 5/],
    ['too few pages', answer(two, { total: 5, totalPages: 2 }), /2 pages for a total of 5/],
    ['too few items', answer([item('a', 1)], { total: 5 }), /1 item, where/],
    ['too many items', answer([...two, item('c', 0)], { total: 5 }), /3 items, where/],
    ['items of an empty list', answer(two, { total: 0, totalPages: 0 }), /2 items, where/],
    ['a job twice', answer([item('a', 2), item('a', 2)], { total: 5 }), /twice/],
    ['a job twice, once spoilt', answer([item('a', 2), item('a', 2, { status: 7 })], { total: 5 }), /twice/],
  ])('finds %s', (_, candidate, words) => {
    expect(faultOf(candidate, { page: 1, limit: 2 })).toMatch(words)
  })
})

test('a page knows its bounds, its order and what it lists, rejected items too', () => {
  const shown = toPage(
    { number: 1, limit: 3 },
    answer([item('a', 2), item('b', 3), item('c', 1, { status: 7 })], { limit: 3, total: 3 }),
  )
  expect(shown.isSorted).toBe(false)
  expect(shown.uuids.size).toBe(3)
  expect(shown.rejected).toHaveLength(1)
})

test('the list ends with its last page, and with an empty one', () => {
  expect(isLast(page(1, [['a', 1]], { total: 11 }))).toBe(false)
  expect(isLast(page(3, [['a', 1]], { total: 11 }))).toBe(true)
  expect(isLast(page(2, [], { total: 11 }))).toBe(true)
})
