import type { QueryResult, QueryResultRow } from 'pg'
import { Connection } from './connection.js'

/**
 * Runs before every query. READ ONLY, so that nothing can be changed. With time limits, so that nobody waits for us. With
 * a search_path of its own, because that of a role would change the results.
 */
const BEGIN = `
  BEGIN READ ONLY;
  SET LOCAL statement_timeout = '20s'; SET LOCAL lock_timeout = '5s';
  SET LOCAL search_path = pg_catalog`

/** A connection that changes nothing. */
export interface ReadOnlyConnection {
  query<Row extends QueryResultRow>(text: string, params?: unknown[]): Promise<QueryResult<Row>>
  close(): Promise<void>
}

/** Connects, or rejects with the error of node-postgres. An abort of `signal` closes the connection at once. */
export async function openReadOnly(databaseUrl: string, signal: AbortSignal): Promise<ReadOnlyConnection> {
  signal.throwIfAborted()
  const client = new Connection({ connectionString: databaseUrl, application_name: 'spidra-sync doctor' })
  const disconnect = () => client.cutOff(new Error('The process was asked to stop'))
  signal.addEventListener('abort', disconnect, { once: true })
  const close = async () => {
    signal.removeEventListener('abort', disconnect)
    await client.end().catch(() => undefined)
  }
  try {
    await client.connect()
  } catch (error) {
    await close()
    throw error
  }
  return {
    async query(text, params) {
      try {
        await client.query(BEGIN)
        return await client.query(text, params)
      } finally {
        await client.query('ROLLBACK').catch(() => undefined)
      }
    },
    close,
  }
}
