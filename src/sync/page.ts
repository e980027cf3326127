import { fingerprintOf } from '../db/rejected-jobs.js'
import { counted } from '../logging/printable.js'
import type { ListAnswer } from '../spidra/client.js'
import type { Job, Rejection } from '../spidra/wire.js'
import { type Micros, toMicros } from './instant.js'

/** Which page to ask for: `limit` jobs from place `(number - 1) * limit` on. Places count from 0, the newest job. */
export interface PageAsked {
  /** From 1. */
  readonly number: number
  /** Jobs a page. */
  readonly limit: number
}

/** All that a page lists. It may be megabytes. */
export interface PageContent {
  readonly jobs: readonly Job[]
  readonly rejections: readonly Rejection[]
  /** Size of the answer. */
  readonly bytes: number
}

/** One page of the list as of one instant. */
export interface Page extends PageAsked {
  /** Place of the first item. */
  readonly start: number
  /** Place after the last item; of a faulty page, after the last one that it should have. */
  readonly end: number
  readonly total: number
  readonly totalPages: number
  /** Uuids of the valid jobs, in their order. */
  readonly jobs: readonly string[]
  /** The items that are no valid jobs; `uuid` is null where it is not readable. */
  readonly rejected: readonly { readonly uuid: string | null; readonly fingerprint: string }[]
  /**
   * The jobs and rejections themselves. Null once they are written, because a pass refers to several pages for as long as it
   * needs their places.
   */
  content: PageContent | null
  /** All that the page lists and that has a readable uuid, rejected items among it. */
  readonly uuids: ReadonlySet<string>
  /** `createdAt` of the jobs, in their order. */
  readonly instants: readonly Micros[]
  /** The first and the last of them; null on a page without jobs. */
  readonly newest: Micros | null
  readonly oldest: Micros | null
  /** Whether the jobs are sorted by `createdAt` descending. Only then the page says anything of a part of the list. */
  readonly isSorted: boolean
  /** On the clock of `performance.now()`. */
  readonly askedAt: number
  readonly answeredAt: number
  /** What is wrong with the answer; null when it may serve as proof. */
  readonly fault: string | null
}

/** The page that an answer shows. */
export function toPage({ number, limit }: PageAsked, answer: ListAnswer): Page {
  const { jobs, rejections, itemCount, bytes, askedAt, answeredAt, fault } = answer
  const instants = jobs.map((job) => toMicros(job.createdAt))
  const start = (number - 1) * limit
  return {
    number,
    limit,
    start,
    end: start + (fault === null ? itemCount : limit),
    total: answer.pagination.total,
    totalPages: answer.pagination.totalPages,
    jobs: jobs.map(({ uuid }) => uuid),
    rejected: rejections.map(({ uuid, payload }) => ({ uuid, fingerprint: fingerprintOf(payload) })),
    content: { jobs, rejections, bytes },
    uuids: new Set([...jobs, ...rejections].flatMap(({ uuid }) => uuid ?? [])),
    instants,
    newest: instants.at(0) ?? null,
    oldest: instants.at(-1) ?? null,
    isSorted: instants.every((instant, index) => instant <= (instants[index - 1] ?? instant)),
    askedAt,
    answeredAt,
    fault,
  }
}

/** Whether the list ends with this page, by its own answer. */
export function isLast(page: Page): boolean {
  return page.number >= page.totalPages || page.jobs.length + page.rejected.length === 0
}

/** Whether two answers list the same jobs in the same order. */
export function listsTheSame(one: Page, other: Page): boolean {
  const uuids = [...other.uuids]
  return one.uuids.size === uuids.length && [...one.uuids].every((uuid, index) => uuid === uuids[index])
}

/** Whether two pages share a job, so that they overlap, or one is inside the other. */
export function overlaps(one: Page, other: Page): boolean {
  return [...other.uuids].some((uuid) => one.uuids.has(uuid))
}

/**
 * Whether two answers for page 1 cannot come from one list: they share no job, although their jobs were created in the
 * same period. One answer would have to lose a whole page out of the middle of the other.
 */
export function areOfTwoLists(one: Page, other: Page): boolean {
  const isInOrder = (newer: Page, older: Page) =>
    newer.instants.every((instant) => older.instants.every((below) => instant >= below))
  return !overlaps(one, other) && !isInOrder(one, other) && !isInOrder(other, one)
}

/**
 * Says in words why an answer proves nothing; null when it is well-formed.
 *
 * Well-formed is an answer that agrees with itself and with what was asked: the page and the limit, the number of pages
 * that follows from `total`, the number of items that such a page has, every job once. Servers say 0 or 1 pages for an
 * empty list.
 */
export function faultOf(answer: ListAnswer, asked: { readonly page: number; readonly limit: number }): string | null {
  const { page, limit, total, totalPages } = answer.pagination
  if (page !== asked.page) return `it says that it is page ${page}`
  if (limit !== asked.limit) return `its limit is ${limit}, asked were ${asked.limit}`
  const pages = Math.ceil(total / limit)
  if (totalPages !== pages && !(total === 0 && totalPages === 1))
    return `${counted(totalPages, 'page')} for a total of ${total}`
  const expected = Math.min(limit, Math.max(0, total - (page - 1) * limit))
  if (answer.itemCount !== expected)
    return `${counted(answer.itemCount, 'item')}, where a total of ${total} leaves ${expected}`
  const uuids = [...answer.jobs, ...answer.rejections].flatMap(({ uuid }) => uuid ?? [])
  if (new Set(uuids).size !== uuids.length) return 'it lists a job twice'
  return null
}
