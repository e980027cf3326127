import { expect } from 'vitest'
import type { BatchItem } from '../../src/simulator/batch-answer.js'
import type { Simulator } from '../../src/simulator/server.js'
import type { TestDatabase } from './test-database.js'

/** Requests for batches among the last 1,000 requests. */
export const batchRequests = (api: Simulator) => api.requests.filter(({ batch }) => batch !== null).length

interface StoredItem {
  readonly batch: string
  readonly uuid: string
  readonly position: number
  readonly url: string | null
  readonly host: string | null
  readonly status: string
  readonly error: string | null
  readonly credits: number | null
  readonly extra: unknown
  readonly result: unknown
  readonly text: string | null
}

export const storedItems = ({ sql }: TestDatabase) =>
  sql<StoredItem>(
    `SELECT i.batch_uuid::text AS batch, i.uuid::text AS uuid, position, url, host, status, error, credits_used::float8 AS credits,
       extra, r.result, r.result_text AS text
     FROM spidra.batch_items i LEFT JOIN spidra.batch_results r ON r.item_uuid = i.uuid
     WHERE i.removed_at IS NULL ORDER BY batch_uuid, position`,
  )

/** The items that the simulator shows now, by uuid. */
export function listedItems(api: Simulator): Map<string, BatchItem> {
  const answers = [...api.account.allUuids()].map((uuid) => JSON.parse(api.account.batchText(uuid) ?? '{"items":[]}'))
  return new Map(answers.flatMap(({ items }: { items: BatchItem[] }) => items.map((item) => [item.uuid, item])))
}

/** Asserts that the table holds every item that the simulator shows, and the results where `isFull`. */
export async function expectAllStored(api: Simulator, database: TestDatabase, isFull: boolean): Promise<void> {
  const listed = listedItems(api)
  const stored = await storedItems(database)
  expect(stored.length).toBe(listed.size)
  for (const item of stored) {
    const { url, status, error, creditsUsed, result } = listed.get(item.uuid) ?? {}
    expect(item).toMatchObject({ url, status, error, credits: creditsUsed })
    const kept = item.result ?? item.text
    expect(kept).toEqual(isFull ? result : null)
  }
}
