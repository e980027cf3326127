import { Client } from 'pg'
import { expect } from 'vitest'
import type { TestDatabase } from './test-database.js'

/** Waits until `count` connections to the database wait for a lock. */
export async function untilBlocked({ sql }: TestDatabase, count: number): Promise<void> {
  const blocked = async () => {
    const rows = await sql(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )
    return rows.length
  }
  await expect.poll(blocked, { timeout: 10_000, interval: 5 }).toBe(count)
}

/** A transaction on a connection of its own, to be in the way of others. Rolled back at the end of its block. */
export async function openTransaction({ url }: TestDatabase) {
  const client = new Client({ connectionString: url })
  client.on('error', () => undefined) // a test may end it from outside
  await client.connect()
  await client.query('BEGIN')
  return {
    query: (text: string, params: unknown[] = []) => client.query(text, params),
    commit: () => client.query('COMMIT'),
    [Symbol.asyncDispose]: () => client.end(),
  }
}

/** Listens on the channel of change events; `heard` gives the payloads so far, those of earlier statements included. */
export async function listenForEvents({ url }: TestDatabase) {
  const client = new Client({ connectionString: url })
  const payloads: (string | undefined)[] = []
  client.on('notification', ({ payload }) => payloads.push(payload))
  await client.connect()
  await client.query('LISTEN spidra_batch_job_events')
  return {
    heard: async () => {
      await client.query('SELECT') // notifications come before the answer to a later statement
      return payloads
    },
    [Symbol.asyncDispose]: () => client.end(),
  }
}
