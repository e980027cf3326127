import { Client } from 'pg'
import { expect } from 'vitest'
import type { TestDatabase } from './test-database.js'

/** Holds a lock in a transaction of its own. */
export async function hold(database: TestDatabase, statement: string) {
  const client = new Client({ connectionString: database.url })
  await client.connect()
  await client.query('BEGIN')
  await client.query(statement)
  return { release: () => client.end(), [Symbol.asyncDispose]: () => client.end() }
}

/** Resolves when so many connections wait for a lock; one by default. */
export async function untilWaiting(database: TestDatabase, connections = 1): Promise<void> {
  const waiting = `SELECT count(*)::integer AS waiting FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE a.datname = current_database() AND NOT l.granted`
  await expect.poll(() => database.sql(waiting), { timeout: 20_000, interval: 20 }).toEqual([{ waiting: connections }])
}
