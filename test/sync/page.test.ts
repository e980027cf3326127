import { describe, expect, test } from 'vitest'
import type { ListAnswer } from '../../src/spidra/client.js'
import { parseListBody } from '../../src/spidra/wire.js'
import { toMicros } from '../../src/sync/instant.js'
import { faultOf, isLast, listsTheSame, toPage } from '../../src/sync/page.js'
import { item, page, uuidOf } from '../support/pages.js'

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
    ['two items without a readable uuid', answer([item('a', 2, { uuid: 7 }), item('b', 1, { uuid: 8 })]), 1],
  ])('finds none in %s', (_, candidate, number) => {
    expect(faultOf(candidate, { page: number, limit: 2 })).toBeNull()
  })

  test.each([
    ['another page', answer(two, { page: 2, total: 5 }), /page 2/],
    ['another limit', answer(two, { limit: 3, total: 2, totalPages: 1 }), /limit is 3/],
    ['too many pages', answer(two, { total: 5, totalPages: 4 }), /4 pages for a total of 5/],
    ['too few pages', answer(two, { total: 5, totalPages: 2 }), /2 pages for a total of 5/],
    ['one page for more jobs than it has', answer(two, { total: 5, totalPages: 1 }), /1 page for a total of 5/],
    ['several pages of an empty list', answer([], { total: 0, totalPages: 2 }), /2 pages for a total of 0/],
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

test('a page knows the places, the dates and the jobs of its answer', () => {
  const listed = answer([3, 2, 1].map((second) => item(second, second)).concat(item('c', 0, { uuid: 7 })), {
    page: 2,
    limit: 4,
    total: 9,
  })

  const shown = toPage({ number: 2, limit: 4 }, listed)

  const instants = [3, 2, 1].map((second) => toMicros(`2026-01-01T00:00:0${second}.000Z`))
  expect(shown).toMatchObject({ number: 2, limit: 4, start: 4, end: 8, total: 9, totalPages: 5, fault: null })
  expect(shown).toMatchObject({
    newest: instants[0],
    oldest: instants[2],
    instants,
    isSorted: true,
    askedAt: 1,
    answeredAt: 2,
  })
  expect(shown.jobs).toEqual([3, 2, 1].map(uuidOf))
  expect(shown.uuids).toEqual(new Set(shown.jobs))
  expect(shown.rejected).toEqual([{ uuid: null, fingerprint: expect.stringMatching(/^[0-9a-f]+$/) }])
  expect(shown.content).toEqual({ jobs: listed.jobs, rejections: listed.rejections, bytes: listed.bytes })
})

test('a page ends after its last item, and a faulty one after the last item that it should have', () => {
  const short = answer([item('a', 2)], { page: 3, limit: 2, total: 5 })

  expect(toPage({ number: 3, limit: 2 }, short)).toMatchObject({ start: 4, end: 5 })
  expect(toPage({ number: 3, limit: 2 }, { ...short, fault: 'wrong' })).toMatchObject({ start: 4, end: 6 })
})

test('jobs of the same time are sorted, and a page without jobs has no dates', () => {
  const shown = toPage({ number: 1, limit: 2 }, answer([item('a', 2), item('b', 2)]))
  const empty = toPage({ number: 1, limit: 2 }, answer([]))

  expect(shown.isSorted).toBe(true)
  expect(empty).toMatchObject({ newest: null, oldest: null, isSorted: true, start: 0, end: 0 })
})

test('two answers list the same if the same jobs stand in the same order', () => {
  const jobs = (...names: readonly string[]) =>
    page(
      1,
      names.map((name) => [name, 1]),
    )

  expect(listsTheSame(jobs('a', 'b'), jobs('a', 'b'))).toBe(true)
  expect(listsTheSame(jobs(), jobs())).toBe(true)
  for (const other of [jobs('b', 'a'), jobs('a', 'c'), jobs('a'), jobs('a', 'b', 'c'), jobs()]) {
    expect(listsTheSame(jobs('a', 'b'), other)).toBe(false)
  }
})

test('the list ends with its last page, and with an empty one', () => {
  expect(isLast(page(1, [['a', 1]], { total: 11 }))).toBe(false)
  expect(isLast(page(3, [['a', 1]], { total: 11 }))).toBe(true)
  expect(isLast(page(2, [], { total: 11 }))).toBe(true)
  expect(
    isLast(toPage({ number: 1, limit: 2 }, answer([item('a', 2), item('b', 1, { status: 7 })], { total: 5 }))),
  ).toBe(false)
})
