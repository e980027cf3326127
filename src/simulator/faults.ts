import type { ListPage, Pagination } from './account.js'
import { type Answer, TOO_MANY_REQUESTS, toAnswer, tooManyRequests, toRefusal } from './answer.js'
import { type BatchAnswer, ITEM_MALFORMATIONS } from './batch-answer.js'
import type { ListedJob } from './job.js'
import { drawShare, TRAIT, toIdentity, toSeedKey } from './random.js'

/** The faults that an answer can have. */
export const FAULT_KINDS = [
  /** 402 with `PAYMENT_OVERDUE`. */
  'http402',
  /** 429 as if others had used up the budget, with `Retry-After` in the form that the rate limiter uses. */
  'http429',
  /** The same, with `Retry-After` as a date. */
  'http429Date',
  /** The same, with `retry_after` in the body and without the header. */
  'http429Body',
  'http500',
  /** 502 of a gateway, in HTML. */
  'http502',
  /** 503 with `SERVICE_BUSY` and `retry_after`. */
  'http503',
  /** The connection ends without an answer. */
  'dropped',
  /** The connection ends in the middle of the body. */
  'cutBody',
  /** The body is sent in pieces, over `slowBodyMs`. */
  'slowBody',
  /** No answer, and the connection stays open. */
  'hang',
  /** 200 with HTML. */
  'notJson',
  /** Every fourth item, beginning with the first, is invalid. */
  'malformedItems',
  /** `pagination.page` is one more than requested. */
  'wrongPage',
  /** `pagination.limit` is one less than requested. */
  'wrongLimit',
  /** `totalPages` is two more than the total needs. */
  'totalPagesHigh',
  /** `totalPages` is one less than the total needs. */
  'totalPagesLow',
  /** `jobs` is empty. */
  'emptyPage',
  /** The first item is listed twice, and the last one is missing. */
  'duplicatedItems',
  /** `total` and `totalPages` are those of a list with seven more jobs. */
  'wrongTotal',
] as const

export type FaultKind = (typeof FAULT_KINDS)[number]

export interface FaultOptions {
  /** Share of the answers with each fault; together at most 1. Drawn from the seed. Default none. */
  readonly rates?: Readonly<Partial<Record<FaultKind, number>>>
  /** How long a slow body takes, in milliseconds. Default 1000. */
  readonly slowBodyMs?: number
  /** The wait that the 429 and 503 faults ask for. Default 60. */
  readonly retryAfterSeconds?: number
}

export interface Faults {
  /**
   * Gives the next `times` answers (default 1) a fault; only those for `page` or for a batch, if given. Takes precedence
   * over random faults.
   */
  next(kind: FaultKind, options?: { readonly times?: number; readonly page?: number | 'batch' }): void
  /** Number of faults set by `next` and not used yet. */
  readonly pending: number
  /** Cancels them. */
  clear(): void
  /** Sets the rates of random faults, from the next answer on. */
  setRates(rates: NonNullable<FaultOptions['rates']>): void
}

/** The side of the faults that the server uses. */
export interface FaultSource extends Faults {
  /** The fault of the answer to a request; null for none. It uses up a fault set by `next`. */
  take(request: { readonly number: number; readonly page: number | 'batch' }): FaultKind | null
}

interface Script {
  readonly kind: FaultKind
  readonly page: number | 'batch' | undefined
  times: number
}

export function createFaults(seed: number, firstRates: NonNullable<FaultOptions['rates']> = {}): FaultSource {
  const seedKey = toSeedKey(seed)
  let rates = firstRates
  let scripts: Script[] = []

  function takeScripted(page: number | 'batch'): FaultKind | null {
    const script = scripts.find((candidate) => candidate.page === undefined || candidate.page === page)
    if (script === undefined) return null
    script.times -= 1
    scripts = scripts.filter((other) => other.times > 0)
    return script.kind
  }

  function drawRandom(request: number): FaultKind | null {
    let left = drawShare(toIdentity(seedKey, request), TRAIT.fault)
    for (const kind of FAULT_KINDS) {
      left -= rates[kind] ?? 0
      if (left < 0) return kind
    }
    return null
  }

  return {
    next: (kind, { times = 1, page } = {}) => void scripts.push({ kind, page, times }),
    get pending() {
      return scripts.reduce((sum, script) => sum + script.times, 0)
    },
    clear() {
      scripts = []
    },
    setRates(changed) {
      rates = changed
    },
    take: ({ number, page }) => takeScripted(page) ?? drawRandom(number),
  }
}

/** Turns a correct page into an answer with a fault. */
export function toFaultyAnswer(kind: FaultKind, pageText: string, retryAfterSeconds: number): Answer {
  const { jobs, pagination }: ListPage = JSON.parse(pageText)
  const { page, limit, total, totalPages } = pagination
  const toPage = (changed: { readonly jobs?: readonly unknown[]; readonly pagination?: Partial<Pagination> }) =>
    toAnswer(200, JSON.stringify({ jobs, ...changed, pagination: { ...pagination, ...changed.pagination } }))
  switch (kind) {
    case 'malformedItems':
      return toPage({ jobs: spoil(jobs, MALFORMATIONS) })
    case 'wrongPage':
      return toPage({ pagination: { page: page + 1 } })
    case 'wrongLimit':
      return toPage({ pagination: { limit: limit - 1 } })
    case 'totalPagesHigh':
      return toPage({ pagination: { totalPages: totalPages + 2 } })
    case 'totalPagesLow':
      return toPage({ pagination: { totalPages: Math.max(0, totalPages - 1) } })
    case 'emptyPage':
      return toPage({ jobs: [] })
    case 'duplicatedItems':
      return toPage({ jobs: duplicateFirst(jobs) })
    case 'wrongTotal':
      return toPage({ pagination: { total: total + 7, totalPages: Math.ceil((total + 7) / limit) } })
    default:
      return toFailedAnswer(kind, pageText, retryAfterSeconds)
  }
}

/** Turns the answer for a batch into one with a fault. Faults of a page's numbers leave it as it is. */
export function toFaultyBatch(kind: FaultKind, batchText: string, retryAfterSeconds: number): Answer {
  const batch: BatchAnswer = JSON.parse(batchText)
  const { items } = batch
  const toBatch = (changed: { readonly items?: readonly unknown[]; readonly completedCount?: number }) =>
    toAnswer(200, JSON.stringify({ ...batch, ...changed }))
  switch (kind) {
    case 'malformedItems':
      return toBatch({ items: spoil(items, ITEM_MALFORMATIONS) })
    case 'emptyPage':
      return toBatch({ items: [] })
    case 'duplicatedItems':
      return toBatch({ items: duplicateFirst(items) })
    case 'wrongTotal':
      return toBatch({ completedCount: batch.completedCount + 1 })
    case 'wrongPage':
    case 'wrongLimit':
    case 'totalPagesHigh':
    case 'totalPagesLow':
      return toAnswer(200, batchText)
    default:
      return toFailedAnswer(kind, batchText, retryAfterSeconds)
  }
}

/** The kinds that only a 200 with a correct envelope can have. */
type ContentFault =
  | 'malformedItems'
  | 'wrongPage'
  | 'wrongLimit'
  | 'totalPagesHigh'
  | 'totalPagesLow'
  | 'emptyPage'
  | 'duplicatedItems'
  | 'wrongTotal'

/** An answer that fails as a whole, whatever was requested. */
function toFailedAnswer(kind: Exclude<FaultKind, ContentFault>, text: string, retryAfterSeconds: number): Answer {
  const whole = toAnswer(200, text)
  switch (kind) {
    case 'http402':
      return toRefusal(402, 'Your last payment failed. Please update your billing details.', {
        code: 'PAYMENT_OVERDUE',
      })
    case 'http429':
      return tooManyRequests(retryAfterSeconds)
    case 'http429Date':
      return { ...tooManyRequests(retryAfterSeconds), retryAfterForm: 'date' }
    case 'http429Body':
      return toRefusal(429, TOO_MANY_REQUESTS, { retry_after: retryAfterSeconds })
    case 'http500':
      return toRefusal(500, 'Internal server error')
    case 'http502':
      return { ...whole, status: 502, contentType: 'text/html', body: toHtml('502 Bad Gateway') }
    case 'http503':
      return toRefusal(503, 'Service is busy.', { code: 'SERVICE_BUSY', retry_after: retryAfterSeconds })
    case 'notJson':
      return { ...whole, contentType: 'text/html', body: toHtml('We will be back soon') }
    case 'dropped':
    case 'hang':
      return { ...whole, delivery: kind }
    case 'cutBody':
      return { ...whole, delivery: 'cut' }
    case 'slowBody':
      return { ...whole, delivery: 'slow' }
    default:
      return kind satisfies never
  }
}

function toHtml(title: string): string {
  return `<html>\r\n<head><title>${title}</title></head>\r\n<body><center><h1>${title}</h1></center></body>\r\n</html>\r\n`
}

/** Makes an item invalid. A real API must never send such an item, and a sync must survive it. */
type Malformation = (job: ListedJob) => unknown

/** Some values would pass a simple schema, but Postgres refuses them. */
const MALFORMATIONS: readonly Malformation[] = [
  ({ uuid: _, ...rest }) => rest,
  (job) => ({ ...job, uuid: 'not-a-uuid' }),
  (job) => ({ ...job, createdAt: 'yesterday' }),
  (job) => ({ ...job, completedCount: -1 }),
  (job) => ({ ...job, totalUrls: 2.5 }),
  (job) => ({ ...job, totalUrls: 2 ** 31 }),
  (job) => ({ ...job, status: 'comp\u0000leted' }),
  (job) => ({ ...job, outputFormat: '\ud800' }),
  (job) => ({ ...job, createdAt: '0000-01-01T00:00:00Z' }),
  (job) => ({ ...job, status: null }),
  (job) => ({ ...job, totalUrls: '12' }),
  () => null,
  () => 'a text where a job should be',
]

/** Lists the first item twice, and leaves out the last. */
function duplicateFirst<Item>(items: readonly Item[]): Item[] {
  return [...items.slice(0, 1), ...items.slice(0, Math.max(1, items.length - 1))]
}

/** Makes every fourth item invalid, each in another way. */
function spoil<Item>(items: readonly Item[], malformations: readonly ((item: Item) => unknown)[]): readonly unknown[] {
  return items.map((item, index) => {
    const malform = index % 4 === 0 ? malformations[(index / 4) % malformations.length] : undefined
    return malform === undefined || typeof item !== 'object' || item === null ? item : malform(item)
  })
}
