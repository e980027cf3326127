import { Client } from 'pg'
import { expect } from 'vitest'
import type { TestDatabase } from './test-database.js'

/** Resolves when this number of connections to the database wait for a lock. */
export async function untilBlocked({ sql }: TestDatabase, count = 1): Promise<void> {
  const blocked = async () => {
    const rows = await sql(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    )
    return rows.length
  }
  await expect.poll(blocked, { timeout: 20_000, interval: 5 }).toBe(count)
}

/** Opens a transaction on its own connection, to block others. It is rolled back at the end of its block. */
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

/** Holds the lock that a statement takes, in a transaction of its own. */
export async function hold(database: TestDatabase, statement: string) {
  const transaction = await openTransaction(database)
  await transaction.query(statement)
  const release = transaction[Symbol.asyncDispose]
  return { release, [Symbol.asyncDispose]: release }
}

/** Listens for change events. `heard` returns all payloads so far, including those of every earlier statement. */
export async function listenForEvents({ url }: TestDatabase) {
  const client = new Client({ connectionString: url })
  const payloads: (string | undefined)[] = []
  client.on('notification', ({ payload }) => payloads.push(payload))
  await client.connect()
  await client.query('LISTEN spidra_batch_job_events')
  return {
    heard: async () => {
      await client.query('SELECT') // notifications arrive before the answer to a later statement
      return payloads
    },
    [Symbol.asyncDispose]: () => client.end(),
  }
}
