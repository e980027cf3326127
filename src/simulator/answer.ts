import type { FaultKind } from './faults.js'
import type { ListPage } from './list-page.js'
import { spoilItems } from './malformed.js'

/** An answer before it is sent: what it says, and how well the line carries it. */
export interface Answer {
  readonly status: number
  readonly contentType: 'application/json; charset=utf-8' | 'text/html'
  readonly body: string
  readonly delivery: 'whole' | 'slow' | 'cut' | 'dropped' | 'hang'
  /** What a `Retry-After` header should tell, in seconds; null for no such header. */
  readonly retryAfterSeconds: number | null
  /** Form of that header; null for that of the rate limit. */
  readonly retryAfterForm: 'date' | null
}

export function toAnswer(status: number, body: string): Answer {
  const contentType = 'application/json; charset=utf-8'
  return { status, contentType, body, delivery: 'whole', retryAfterSeconds: null, retryAfterForm: null }
}

/** An error in the API's words. `more` may name a `code` and the like. */
export function toRefusal(status: number, message: string, more: Readonly<Record<string, unknown>> = {}): Answer {
  return toAnswer(status, JSON.stringify({ status: 'error', message, ...more }))
}

const TOO_MANY = 'Too many requests, please try again later.'

export function tooManyRequests(retryAfterSeconds: number): Answer {
  return { ...toRefusal(429, TOO_MANY), retryAfterSeconds }
}

/** What becomes of a good page when a fault befalls it. */
export function toFaultyAnswer(kind: FaultKind, pageText: string, retryAfterSeconds: number): Answer {
  const whole = toAnswer(200, pageText)
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
      return toRefusal(429, TOO_MANY, { retry_after: retryAfterSeconds })
    case 'http500':
      return toRefusal(500, 'Internal server error')
    case 'http502':
      return { ...whole, status: 502, contentType: 'text/html', body: gatewayPage('502 Bad Gateway') }
    case 'http503':
      return toRefusal(503, 'Service is busy.', { code: 'SERVICE_BUSY', retry_after: retryAfterSeconds })
    case 'notJson':
      return { ...whole, contentType: 'text/html', body: gatewayPage('We will be back soon') }
    case 'dropped':
    case 'hang':
      return { ...whole, delivery: kind }
    case 'cutBody':
      return { ...whole, delivery: 'cut' }
    case 'slowBody':
      return { ...whole, delivery: 'slow' }
    default:
      return toAnswer(200, JSON.stringify(distort(kind, JSON.parse(pageText))))
  }
}

type PageFault = Exclude<
  FaultKind,
  | 'http402'
  | 'http429'
  | 'http429Date'
  | 'http429Body'
  | 'http500'
  | 'http502'
  | 'http503'
  | 'notJson'
  | 'dropped'
  | 'hang'
  | 'cutBody'
  | 'slowBody'
>

/** A page that reads well and is wrong. */
function distort(kind: PageFault, { jobs, pagination }: ListPage): unknown {
  const { page, limit, total, totalPages } = pagination
  switch (kind) {
    case 'malformedItems':
      return { jobs: spoilItems(jobs), pagination }
    case 'wrongPage':
      return { jobs, pagination: { ...pagination, page: page + 1 } }
    case 'wrongLimit':
      return { jobs, pagination: { ...pagination, limit: limit - 1 } }
    case 'totalPagesHigh':
      return { jobs, pagination: { ...pagination, totalPages: totalPages + 2 } }
    case 'totalPagesLow':
      return { jobs, pagination: { ...pagination, totalPages: Math.max(0, totalPages - 1) } }
    case 'emptyPage':
      return { jobs: [], pagination }
    case 'duplicatedItems':
      return { jobs: [...jobs.slice(0, 1), ...jobs.slice(0, Math.max(1, jobs.length - 1))], pagination }
    case 'wrongTotal':
      return { jobs, pagination: { ...pagination, total: total + 7, totalPages: Math.ceil((total + 7) / limit) } }
    default:
      return kind satisfies never
  }
}

function gatewayPage(title: string): string {
  return `<html>\r\n<head><title>${title}</title></head>\r\n<body><center><h1>${title}</h1></center></body>\r\n</html>\r\n`
}
