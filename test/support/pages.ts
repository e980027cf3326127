import { createHash } from 'node:crypto'
import { parseItem } from '../../src/spidra/wire.js'
import { toMicros } from '../../src/sync/instant.js'
import type { Page } from '../../src/sync/page.js'

/** Computes a uuid from a name. */
export function uuidOf(name: string | number): string {
  const hex = createHash('sha256').update(String(name)).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** An item of the list as the API sends it, created at `second`. */
export function item(name: string | number, second: number, fields: Readonly<Record<string, unknown>> = {}): object {
  return {
    uuid: uuidOf(name),
    status: 'completed',
    totalUrls: 3,
    completedCount: 3,
    failedCount: 0,
    outputFormat: 'json',
    scrapingChannel: 'api',
    createdAt: new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString(),
    finishedAt: null,
    ...fields,
  }
}

/**
 * A page of jobs, given as [name, second] from the newest on. It is requested and answered at `at`, in milliseconds.
 */
export function page(
  number: number,
  jobs: readonly (readonly [name: string | number, second: number])[],
  { total = 1000, limit = 5, at = number, bytes = 0, fault = null as string | null } = {},
): Page {
  const parsed = jobs.map(([name, second]) => {
    const result = parseItem(item(name, second))
    if (!('job' in result)) throw new Error('the item is not a valid job')
    return result.job
  })
  const instants = parsed.map((job) => toMicros(job.createdAt))
  return {
    number,
    limit,
    start: (number - 1) * limit,
    end: (number - 1) * limit + parsed.length,
    total,
    totalPages: Math.ceil(total / limit),
    jobs: parsed.map((job) => job.uuid),
    rejected: [],
    content: { jobs: parsed, rejections: [], bytes },
    uuids: new Set(parsed.map((job) => job.uuid)),
    instants,
    newest: instants.at(0) ?? null,
    oldest: instants.at(-1) ?? null,
    isSorted: instants.every((instant, index) => instant <= (instants[index - 1] ?? instant)),
    askedAt: at,
    answeredAt: at,
    fault,
  }
}
