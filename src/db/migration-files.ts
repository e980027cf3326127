import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'

/** One directory of `prisma/migrations`. */
export interface Migration {
  /** Name of the directory, such as `20261123000000_init`; its order is the order of application. */
  readonly name: string
  readonly sql: string
  /** SHA-256 of the SQL in hexadecimal, as Prisma's ledger keeps it. */
  readonly checksum: string
}

/** `dist/db/` and `src/db/` lie at the same depth, in a checkout as in the npm package. */
const MIGRATIONS = new URL('../../prisma/migrations/', import.meta.url)

/** Reads the migrations that belong to this version, oldest first. `directory` must end in a slash. */
export async function readMigrations(directory: URL = MIGRATIONS): Promise<readonly Migration[]> {
  const entries = await readdir(directory, { withFileTypes: true })
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  return Promise.all(names.sort().map((name) => readMigration(directory, name)))
}

async function readMigration(directory: URL, name: string): Promise<Migration> {
  const text = await readFile(new URL(`${encodeURIComponent(name)}/migration.sql`, directory), 'utf8')
  // A checkout on Windows may have CRLF. Prisma takes both for the same file, and so do we.
  const sql = text.replaceAll('\r\n', '\n')
  return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
}
