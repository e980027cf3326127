import { createHash } from 'node:crypto'
import { z } from 'zod'
import { parseJson, toJson } from './json.js'

/** The largest Postgres `integer`; a larger count could not be stored. */
const MAX_COUNT = 2_147_483_647

const text = z
  .string()
  .refine((value) => !value.includes('\0') && value.isWellFormed(), 'holds a NUL or a lone surrogate')
const countRule = `must be a whole number from 0 to ${MAX_COUNT}`
const count = z.int(countRule).min(0, countRule).max(MAX_COUNT, countRule)

/**
 * Compared in UTC, whatever the offset. Outside these years ISO 8601 needs an extended form, which a stored position
 * cannot have.
 */
const YEARS = { first: Date.parse('0001-01-01T00:00:00Z'), end: Date.parse('9999-12-31T23:59:59Z') }
const EDGE_YEAR = /^(?:000[01]|9999)/
const timestamp = z.iso
  .datetime({ offset: true, abort: true, error: 'must be an ISO 8601 time with Z or an offset' })
  // Only in the first and last years can an offset lead out of the range.
  .refine((value) => !EDGE_YEAR.test(value) || isWithin(Date.parse(value), YEARS), 'must lie in the years 1 to 9999')

/** The schema has no transforms, which cost three times as much as all checks together: `toJob` converts instead. */
const listedJob = z.object({
  uuid: z.guid('must be a uuid'),
  status: text.min(1),
  totalUrls: count,
  completedCount: count,
  failedCount: count,
  outputFormat: text.nullish(),
  scrapingChannel: text.nullish(),
  createdAt: timestamp,
  finishedAt: timestamp.nullish(),
})

const identity = listedJob.pick({ uuid: true })

/**
 * Limit for the items of a page. A page has 50 items, and a server that ignores the limit may send more. Millions of
 * tiny items that are no jobs fit into a body of 16 MB, and would take gigabytes and minutes.
 */
const MAX_ITEMS = 10_000

const envelope = z.object({
  jobs: z.custom<readonly unknown[]>((jobs) => Array.isArray(jobs) && jobs.length <= MAX_ITEMS),
  pagination: z.object({
    page: z.int().min(0),
    limit: z.int().min(1),
    total: z.int().min(0),
    totalPages: z.int().min(0),
  }),
})

/** A batch job of the list, validated. Timestamps stay the API's text: a `Date` would drop the microseconds. */
export interface Job {
  /** Lower case. */
  readonly uuid: string
  readonly status: string
  readonly totalUrls: number
  readonly completedCount: number
  readonly failedCount: number
  readonly outputFormat: string | null
  readonly scrapingChannel: string | null
  readonly createdAt: string
  readonly finishedAt: string | null
  /** JSON text of the unknown fields; null when there are none. Made at each reading, because it may be megabytes. */
  readonly extra: string | null
  /** The item as received, for the quarantine in case Postgres refuses the job. */
  readonly item: unknown
}

/** An item that is not a valid job: kept as received, with the reason in words. */
export interface Rejection {
  /** Lower case; null when the item has no readable uuid. */
  readonly uuid: string | null
  /** JSON text. */
  readonly payload: string
  readonly reason: string
}

/** The body of one answer of the list. */
export interface ListBody {
  readonly jobs: readonly Job[]
  readonly rejections: readonly Rejection[]
  /** Items on the page: jobs and rejections together, duplicates included. */
  readonly itemCount: number
  /** Size of the body. */
  readonly bytes: number
  readonly pagination: Readonly<z.infer<typeof envelope>['pagination']>
}

/** The result of parsing one item. */
export type ParsedItem = { readonly job: Job } | { readonly rejection: Rejection }

const knownFields: ReadonlySet<string> = new Set(Object.keys(listedJob.shape))

function isWithin(instant: number, { first, end }: typeof YEARS): boolean {
  return instant >= first && instant < end
}

/** Parses an item of the list into a job or a rejection: bad data is a value, never an exception. */
export function parseItem(item: unknown): ParsedItem {
  const parsed = listedJob.safeParse(item)
  if (!parsed.success) return { rejection: toRejection(item, describeIssues(parsed.error)) }
  return { job: toJob(parsed.data, item) }
}

function toJob(fields: z.infer<typeof listedJob>, item: unknown): Job {
  return {
    uuid: fields.uuid.toLowerCase(),
    status: fields.status,
    totalUrls: fields.totalUrls,
    completedCount: fields.completedCount,
    failedCount: fields.failedCount,
    outputFormat: fields.outputFormat ?? null,
    scrapingChannel: fields.scrapingChannel ?? null,
    createdAt: fields.createdAt,
    finishedAt: fields.finishedAt ?? null,
    get extra() {
      return extraFields(item)
    },
    item,
  }
}

/** Converts an item to a rejection. Its uuid, if readable, identifies it when the item comes again. */
export function toRejection(item: unknown, reason: string): Rejection {
  const uuid = identity.safeParse(item)
  return { uuid: uuid.success ? uuid.data.uuid.toLowerCase() : null, payload: toJson(item), reason }
}

/**
 * Parses the body of a list answer. Invalid items become rejections; an invalid envelope fails the page.
 *
 * @returns null when the text is not JSON or not a list.
 */
export function parseListBody(body: string): ListBody | null {
  const parsed = envelope.safeParse(readJson(body))
  if (!parsed.success) return null
  const jobs: Job[] = []
  const rejections: Rejection[] = []
  for (const item of parsed.data.jobs) {
    const outcome = parseItem(item)
    if ('job' in outcome) jobs.push(outcome.job)
    else rejections.push(outcome.rejection)
  }
  const { jobs: items, pagination } = parsed.data
  return { jobs, rejections, itemCount: items.length, bytes: Buffer.byteLength(body), pagination }
}

function readJson(body: string): unknown {
  try {
    return parseJson(body)
  } catch {
    return undefined
  }
}

/**
 * The unknown fields of an item as JSON text. `fromEntries` defines properties, so that even `__proto__` is only a
 * field.
 */
function extraFields(item: unknown): string | null {
  if (typeof item !== 'object' || item === null) return null
  if (Object.keys(item).every((name) => knownFields.has(name))) return null
  return toJson(Object.fromEntries(Object.entries(item).filter(([name]) => !knownFields.has(name))))
}

/** Formats the issues in one line: `createdAt: Invalid ISO datetime; failedCount: Too small`. */
function describeIssues(error: z.ZodError): string {
  return error.issues.map((issue) => [issue.path.join('.'), issue.message].filter(Boolean).join(': ')).join('; ')
}

/** The result of one URL: JSON text, or text that is no JSON. */
export interface ItemResult {
  readonly kind: 'json' | 'text'
  readonly text: string
}

/** One URL of a batch. A field that the API sent with another type than documented is null here and stands in `extra`. */
export interface Item {
  /** Lower case. The item's own; for an item without one, computed from the batch and the position. */
  readonly uuid: string
  /** From 0, in the order of the answer. */
  readonly position: number
  readonly url: string | null
  /** `unknown` if the API sent none. */
  readonly status: string
  readonly error: string | null
  /** Decimal digits. */
  readonly creditsUsed: string | null
  readonly jobId: string | null
  readonly startedAt: string | null
  readonly finishedAt: string | null
  readonly screenshotUrl: string | null
  /** JSON text of what the other fields do not hold; null when there is nothing. */
  readonly extra: string | null
  /** Null: the API sent none, or null. Made at each reading, because it may be megabytes. */
  readonly result: ItemResult | null
}

/** The body of the answer for one batch. */
export interface BatchBody {
  readonly status: string
  readonly totalUrls: number | null
  readonly completedCount: number | null
  readonly failedCount: number | null
  readonly items: readonly Item[]
  /** Size of the body. */
  readonly bytes: number
}

const looseCount = count.nullable().catch(null)

const batchEnvelope = z.object({
  status: text.min(1),
  totalUrls: looseCount,
  completedCount: looseCount,
  failedCount: looseCount,
  items: z.custom<readonly unknown[]>((items) => Array.isArray(items) && items.length <= MAX_ITEMS),
})

const itemGuid = z.guid()
const itemStatus = text.min(1)
const itemCredits = z.number().min(0).max(MAX_COUNT)

const itemFieldNames: ReadonlySet<string> = new Set(
  'uuid url status error creditsUsed jobId startedAt finishedAt screenshotUrl result'.split(' '),
)

/**
 * Parses the answer for a batch. Nothing in an item fails it: what has another type than documented is kept in `extra`.
 *
 * @returns null when the text is not JSON, or has no list of items.
 */
export function parseBatchBody(body: string, batchUuid: string): BatchBody | null {
  const parsed = batchEnvelope.safeParse(readJson(body))
  if (!parsed.success) return null
  const { items, ...counts } = parsed.data
  const taken = new Set<string>()
  const toUnique = (item: Item): Item => {
    const unique = taken.has(item.uuid) ? { ...item, uuid: derivedUuid(batchUuid, item.position) } : item
    taken.add(unique.uuid)
    return unique
  }
  return {
    ...counts,
    items: items.map((item, position) => toUnique(toItem(item, batchUuid, position))),
    bytes: Buffer.byteLength(body),
  }
}

function toItem(item: unknown, batchUuid: string, position: number): Item {
  const isObject = typeof item === 'object' && item !== null && !Array.isArray(item)
  const given = new Map<string, unknown>(isObject ? Object.entries(item) : [])
  const odd = [...given].filter(([name]) => !itemFieldNames.has(name))
  function read<Value>(name: string, schema: z.ZodType<Value>): Value | null {
    const value = given.get(name) ?? null
    const field = schema.safeParse(value)
    if (field.success) return field.data
    if (value !== null) odd.push([name, value])
    return null
  }
  const fields = {
    uuid: read('uuid', itemGuid)?.toLowerCase() ?? derivedUuid(batchUuid, position),
    position,
    url: read('url', text),
    status: read('status', itemStatus) ?? 'unknown',
    error: read('error', text),
    creditsUsed: read('creditsUsed', itemCredits)?.toString() ?? null,
    jobId: read('jobId', text),
    startedAt: read('startedAt', timestamp),
    finishedAt: read('finishedAt', timestamp),
    screenshotUrl: read('screenshotUrl', text),
  }
  const rest = isObject ? Object.fromEntries(odd) : { item }
  const extra = Object.keys(rest).length === 0 ? null : toStorable(toJson(rest))
  return {
    ...fields,
    extra,
    get result() {
      return toResult(given.get('result'))
    },
  }
}

function toResult(value: unknown): ItemResult | null {
  if (value === undefined || value === null) return null
  if (typeof value === 'string' && !value.includes('\0') && value.isWellFormed()) return { kind: 'text', text: value }
  return { kind: 'json', text: toJson(value) }
}

/** Replaces the escapes of NUL and of lone surrogates in JSON text by that of U+FFFD, because jsonb refuses them. */
function toStorable(json: string): string {
  return json.replace(/\\\\|\\u(?:0000|d[89a-f][0-9a-f]{2})/gi, (found) => (found === '\\\\' ? found : '\\ufffd'))
}

/** A uuid (RFC 9562, version 8) for an item without a readable one. The same item of a batch always has the same. */
function derivedUuid(batchUuid: string, position: number): string {
  const hash = createHash('sha256').update(`${batchUuid}:${position}`).digest('hex')
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-a${hash.slice(17, 20)}-${hash.slice(20, 32)}`
}
