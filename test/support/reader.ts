import { randomBytes } from 'node:crypto'
import { Client, escapeIdentifier, type QueryResultRow } from 'pg'
import type { TestDatabase } from './test-database.js'

/** A login role without any rights. */
export interface Reader extends AsyncDisposable {
  readonly name: string
  /** Runs one statement as this role. */
  query<Row extends QueryResultRow = QueryResultRow>(text: string): Promise<Row[]>
}

/** Creates a role. It is dropped at the end of its block, which must lie inside that of the database. */
export async function createReader({ name: database, url, sql }: TestDatabase, suffix = 'reader'): Promise<Reader> {
  const name = `${database}_${suffix}`
  const identifier = escapeIdentifier(name)
  const password = randomBytes(8).toString('hex')
  await sql(`CREATE ROLE ${identifier} LOGIN PASSWORD '${password}'`)
  const readerUrl = new URL(url)
  readerUrl.username = name
  readerUrl.password = password
  return {
    name,
    async query<Row extends QueryResultRow>(text: string) {
      const client = new Client({ connectionString: readerUrl.href })
      await client.connect()
      try {
        return (await client.query<Row>(text)).rows
      } finally {
        await client.end()
      }
    },
    [Symbol.asyncDispose]: async () => void (await sql(`DROP OWNED BY ${identifier}; DROP ROLE ${identifier}`)),
  }
}
