import { z } from 'zod'
import { parseJson, toJson } from './json.js'

/** Postgres `integer` ends here; a larger count could not be stored. */
const MAX_COUNT = 2_147_483_647

const text = z
  .string()
  .refine((value) => !value.includes('\0') && value.isWellFormed(), 'holds a NUL or a lone surrogate')
const countRule = `must be a whole number from 0 to ${MAX_COUNT}`
const count = z.int(countRule).min(0, countRule).max(MAX_COUNT, countRule)

/** In UTC, whatever the offset: outside these years ISO 8601 has no plain form, and a position could not be written. */
const YEARS = { first: Date.parse('0001-01-01T00:00:00Z'), end: Date.parse('9999-12-31T23:59:59Z') }
const EDGE_YEAR = /^(?:000[01]|9999)/
const timestamp = z.iso
  .datetime({ offset: true, abort: true, error: 'must be an ISO 8601 time with Z or an offset' })
  // Only at the ends of the calendar an offset can lead out of it.
  .refine((value) => !EDGE_YEAR.test(value) || isWithin(Date.parse(value), YEARS), 'must lie in the years 1 to 9999')

/** Without transforms, which cost three times as much as all checks together: `toJob` does what is left to do. */
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
 * A page has 50 items, and one of a server that ignores the limit may have more. Millions, which fit into a body of 16 MB
 * where they are no jobs, would take gigabytes and minutes.
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
  /** JSON text of the fields that we do not know; null when there are none. */
  readonly extra: string | null
  /** The item as received, for the quarantine, should Postgres refuse the job. */
  readonly item: unknown
}

/** An item that is no job: kept as received, with the reason in words. */
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
  /** Items on the page, jobs and rejections together, doubles counted twice. */
  readonly itemCount: number
  readonly pagination: Readonly<z.infer<typeof envelope>['pagination']>
}

/** What an item turned out to be. */
export type ParsedItem = { readonly job: Job } | { readonly rejection: Rejection }

const knownFields: ReadonlySet<string> = new Set(Object.keys(listedJob.shape))

function isWithin(instant: number, { first, end }: typeof YEARS): boolean {
  return instant >= first && instant < end
}

/** Turns an item of the list into a job, or into a rejection: bad data is a value, never an exception. */
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
    extra: extraFields(item),
    item,
  }
}

/** A rejection of `item` as received, found again by its uuid where it has a readable one. */
export function toRejection(item: unknown, reason: string): Rejection {
  const uuid = identity.safeParse(item)
  return { uuid: uuid.success ? uuid.data.uuid.toLowerCase() : null, payload: toJson(item), reason }
}

/**
 * Parses the body of a list answer. Bad items never fail the page; a bad envelope does.
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
  return { jobs, rejections, itemCount: parsed.data.jobs.length, pagination: parsed.data.pagination }
}

function readJson(body: string): unknown {
  try {
    return parseJson(body)
  } catch {
    return undefined
  }
}

/** The fields that we do not know. `fromEntries` defines them, so that even `__proto__` is only a field. */
function extraFields(item: unknown): string | null {
  if (typeof item !== 'object' || item === null) return null
  if (Object.keys(item).every((name) => knownFields.has(name))) return null
  return toJson(Object.fromEntries(Object.entries(item).filter(([name]) => !knownFields.has(name))))
}

/** One line for people: `createdAt: Invalid ISO datetime; failedCount: Too small`. */
function describeIssues(error: z.ZodError): string {
  return error.issues.map((issue) => [issue.path.join('.'), issue.message].filter(Boolean).join(': ')).join('; ')
}
