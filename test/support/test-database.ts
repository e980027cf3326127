import { randomBytes } from 'node:crypto'
import { escapeIdentifier, Pool, type QueryResultRow } from 'pg'
import { inject } from 'vitest'
import { type Database, openDatabase } from '../../src/db/client.js'
import { asAdmin, toDatabaseUrl } from './admin.js'

/** A database for one test. It is dropped at the end of its block, even with open connections. */
export interface TestDatabase extends AsyncDisposable {
  readonly name: string
  readonly url: string
  readonly db: Database
  /** Runs one statement through node-postgres and returns its rows; without parameters also several statements. */
  sql<Row extends QueryResultRow = QueryResultRow>(text: string, params?: readonly unknown[]): Promise<Row[]>
}

/**
 * Creates a database, migrated and without rows. With `{ isMigrated: false }` it has no schema either; with `encoding` it has
 * none, and another encoding than UTF8.
 *
 * @example await using database = await createTestDatabase()
 */
export async function createTestDatabase(
  options: { isMigrated?: boolean; encoding?: string } = {},
): Promise<TestDatabase> {
  const { adminUrl, prefix, template } = inject('testServer')
  const name = prefix + randomBytes(6).toString('hex')
  const identifier = escapeIdentifier(name)
  const origin =
    options.encoding !== undefined
      ? `ENCODING '${options.encoding}' TEMPLATE template0 LOCALE 'C'`
      : options.isMigrated === false
        ? ''
        : `TEMPLATE ${escapeIdentifier(template)}`
  await asAdmin(adminUrl, (admin) => admin.query(`CREATE DATABASE ${identifier} ${origin}`))

  const url = toDatabaseUrl(adminUrl, name)
  const db = openDatabase(url, { applicationName: 'spidra-sync test' })
  const pool = new Pool({ connectionString: url, max: 4, allowExitOnIdle: true })
  pool.on('error', () => undefined) // a test that stops the server or drops the database ends idle connections
  return {
    name,
    url,
    db,
    sql: async <Row extends QueryResultRow>(text: string, params?: readonly unknown[]) =>
      (await pool.query<Row>(text, params === undefined ? undefined : [...params])).rows,
    [Symbol.asyncDispose]: async () => {
      await db.$disconnect()
      await pool.end()
      await asAdmin(adminUrl, (admin) => admin.query(`DROP DATABASE IF EXISTS ${identifier} WITH (FORCE)`))
    },
  }
}
