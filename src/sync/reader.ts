import type { Logger } from 'pino'
import type { ListAnswer, SpidraClient } from '../spidra/client.js'
import { SpidraError } from '../spidra/errors.js'
import { FixedLimitError, SmallerLimitError, TwoListsError } from './interruptions.js'
import type { KnownList } from './known-list.js'
import { areOfTwoLists, faultOf, listsTheSame, type Page, type PageAsked, toPage } from './page.js'
import type { Counters } from './run-summary.js'
import { pageAt } from './seam.js'

/** What a pass has asked the API, and what the answers said. */
export interface PageReader {
  /** The latest answer for page 1. */
  readonly head: Page | null
  /** `total` of the latest answer. */
  readonly latestTotal: number | null
  /** Answers that stayed faulty. */
  readonly faultyPages: number
  /** Counts them from 0 again, because what they left unproved is read once more. */
  forgetFaults(): void
  /** Whether total and head were the same in all answers so far. */
  readonly isStill: boolean
  /**
   * Asks for a page, by default of `limit` jobs. Its jobs are listed, so none of them is missing; but they count as read
   * only when the page is merged.
   *
   * @throws SmallerLimitError when the server gives smaller pages; TwoListsError when page 1 shows another list than before.
   */
  ask(number: number, limit?: number): Promise<Page>
}

export interface PageReaderOptions {
  readonly client: SpidraClient
  /** Jobs a page. */
  readonly limit: number
  readonly list: KnownList
  readonly counters: Counters
  readonly signal: AbortSignal
  readonly log: Logger
  readonly onPage: (page: Page) => void
}

export function createPageReader(options: PageReaderOptions): PageReader {
  const { client, limit, list, counters, signal, log, onPage } = options
  let head: Page | null = null
  let latestTotal: number | null = null
  let faultyPages = 0
  let isStill = true

  function checkAnswer(answer: ListAnswer, asked: PageAsked): string | null {
    const given = answer.pagination.limit
    if (given !== asked.limit && faultOf(answer, { page: asked.number, limit: given }) === null) {
      if (given < limit && given < asked.limit) throw new SmallerLimitError(given)
      if (given > asked.limit && asked.limit < limit) throw new FixedLimitError()
    }
    return faultOf(answer, { page: asked.number, limit: asked.limit })
  }

  async function request(asked: PageAsked): Promise<Page> {
    const page = { page: asked.number, limit: asked.limit }
    try {
      const answer = await client.listPage({ ...page, signal, faultOf: (given) => checkAnswer(given, asked) })
      return toPage(asked, answer)
    } catch (error) {
      if (error instanceof FixedLimitError) {
        await list.doubtOverlap()
        return request(pageAt((asked.number - 1) * asked.limit, limit))
      }
      const isPastEnd = error instanceof SpidraError && error.status === 404 && asked.number > 1 && head !== null
      const page = isPastEnd ? await pageAfterEnd(asked) : null
      if (page === null) throw error
      return page
    }
  }

  /**
   * The empty page after the end of a list that shrank, for servers that answer it with a 404. That answer shows no total, so
   * page 1 is asked again: the page as of that answer is empty if its place lies at or after the total. Null: it does not.
   */
  async function pageAfterEnd(asked: PageAsked): Promise<Page | null> {
    const { total, fault, askedAt, answeredAt } = await reader.ask(1)
    if (fault !== null || (asked.number - 1) * asked.limit < total) return null
    const pagination = { page: asked.number, limit: asked.limit, total, totalPages: Math.ceil(total / asked.limit) }
    const nothing = { jobs: [], rejections: [], itemCount: 0, bytes: 0 }
    return toPage(asked, { ...nothing, pagination, askedAt, answeredAt, fault })
  }

  /** Checks the assumptions, as far as one answer shows them. */
  async function check(page: Page): Promise<void> {
    if (page.fault !== null) {
      faultyPages += 1
      log.warn({ page: page.number, fault: page.fault }, 'answer is faulty and proves nothing')
    }
    if (!page.isSorted) list.doubt('unsorted')
    const totalBefore = latestTotal
    if (page.fault === null) latestTotal = page.total
    if (page.fault === null && totalBefore !== null && page.total < totalBefore) await list.noteLoss()
    if (head !== null) isStill &&= page.total === head.total
    if (page.number !== 1 || page.limit !== limit) return
    if (head !== null && page.fault === null && !listsTheSame(head, page)) {
      if (!list.doubts.has('unsorted') && areOfTwoLists(head, page)) throw new TwoListsError()
      isStill = false
      const before = head.uuids
      if (page.total === head.total && [...page.uuids].every((uuid) => before.has(uuid))) list.doubt('reordered')
    }
    if (page.fault === null) head = page
  }

  const reader: PageReader = {
    get head() {
      return head
    },
    get latestTotal() {
      return latestTotal
    },
    get faultyPages() {
      return faultyPages
    },
    get isStill() {
      return isStill
    },
    forgetFaults() {
      faultyPages = 0
    },
    async ask(number, pageLimit = limit) {
      const page = await request({ number, limit: pageLimit })
      counters.pagesRead += 1
      counters.jobsRead += page.jobs.length
      for (const uuid of page.uuids) list.missing.delete(uuid)
      await check(page)
      log.debug({ page: number, limit: pageLimit, total: page.total, jobs: page.jobs.length }, 'page read')
      onPage(page)
      return page
    },
  }
  return reader
}
