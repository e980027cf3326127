import type { IncomingMessage } from 'node:http'
import { type Answer, toRefusal } from './answer.js'
import type { KeyedAccount } from './keyed-accounts.js'
import type { PageAsked } from './list-page.js'

export interface ListRules {
  readonly accountOf: (key: string) => KeyedAccount | undefined
  /** What happens to a limit over 50: it is cut to 50 and echoed so, or refused. */
  readonly overLimit: 'clamp' | 'error'
  /** The limit of every page, whatever is asked for; null: the one asked for. */
  readonly fixedLimit: number | null
}

/** A page of one account's list. */
export interface ListAsked extends PageAsked {
  readonly from: KeyedAccount
}

const BASE_PATH = '/api'
const LIST_PATH = `${BASE_PATH}/batch/scrape`
const DEFAULT_LIMIT = 20
const MOST_PER_PAGE = 50
const WHOLE_NUMBER = /^\d{1,9}$/

/** Which page of which list a request asks for, or why it gets none: 404, 401 without a key, 403 with a wrong one, 422. */
export function readListRequest(request: IncomingMessage, rules: ListRules): ListAsked | Answer {
  const [path, query = ''] = (request.url ?? '').split('?', 2)
  if (request.method !== 'GET' || path !== LIST_PATH) return toRefusal(404, 'Not found')

  const key = readKey(request)
  if (key === null) return toRefusal(401, 'Missing x-api-key header')
  const from = rules.accountOf(key)
  if (from === undefined) return toRefusal(403, 'Invalid, expired or disabled API key')

  const parameters = new URLSearchParams(query)
  const page = readPositive(parameters.get('page'), 1)
  const limit = readPositive(parameters.get('limit'), DEFAULT_LIMIT)
  if (page === null) return invalid('page must be a whole number from 1')
  if (rules.fixedLimit !== null) return { from, page, limit: rules.fixedLimit }
  if (limit === null || (limit > MOST_PER_PAGE && rules.overLimit === 'error')) {
    return invalid(`limit must be a whole number from 1 to ${MOST_PER_PAGE}`)
  }
  return { from, page, limit: Math.min(limit, MOST_PER_PAGE) }
}

function readKey(request: IncomingMessage): string | null {
  const header = request.headers['x-api-key']
  if (typeof header === 'string') return header
  return /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? null
}

function readPositive(text: string | null, missing: number): number | null {
  if (text === null) return missing
  return WHOLE_NUMBER.test(text) && Number(text) > 0 ? Number(text) : null
}

function invalid(message: string): Answer {
  return toRefusal(422, message, { errors: [message] })
}
