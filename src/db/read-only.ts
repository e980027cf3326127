import { Socket } from 'node:net'
import { Client, type QueryResult, type QueryResultRow } from 'pg'

const CONNECT_TIMEOUT_MS = 10_000

/**
 * Runs before every query. READ ONLY, so that nothing can be changed. With time limits, so that nobody waits for us. With
 * settings of its own, because a role's search_path or TimeZone would change the results.
 */
const BEGIN = `
  BEGIN READ ONLY;
  SET LOCAL statement_timeout = '20s'; SET LOCAL lock_timeout = '5s';
  SET LOCAL search_path = pg_catalog; SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'`

/** A connection that changes nothing. */
export interface ReadOnlyConnection {
  query<Row extends QueryResultRow>(text: string, params?: unknown[]): Promise<QueryResult<Row>>
  close(): Promise<void>
}

/** Connects, or rejects with the error of node-postgres. An abort of `signal` closes the connection at once. */
export async function openReadOnly(databaseUrl: string, signal: AbortSignal): Promise<ReadOnlyConnection> {
  signal.throwIfAborted()
  // A socket of our own can be destroyed: node-postgres does not give up one that is still connecting.
  const socket = new Socket()
  const client = new Client({
    connectionString: databaseUrl,
    stream: () => socket,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'spidra-sync doctor',
  })
  // Without a listener a lost connection would end the process. The current query rejects as well.
  client.on('error', () => undefined)
  const disconnect = () => void socket.destroy()
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
