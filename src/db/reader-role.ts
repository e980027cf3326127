import { type Client, escapeIdentifier, escapeLiteral } from 'pg'
import { Connection } from './connection.js'
import { assertUsableDatabase, DatabaseError, toDatabaseError } from './connection-error.js'

/** The named role does not exist. */
export class UnknownRoleError extends Error {
  override readonly name = 'UnknownRoleError'

  constructor(role: string) {
    super(
      `There is no role "${role}": create it first (CREATE ROLE "${role}" LOGIN PASSWORD '...'), ` +
        'or check the name; capital letters count.',
    )
  }
}

/** What a role may do after the views were granted to it. */
export interface ReaderRights {
  /** Names of the views, in schema `spidra_reporting`. */
  readonly views: readonly string[]
  readonly database: string
  /** Whether it may connect to the database. Where PUBLIC may not, the owner of the database has to grant CONNECT. */
  readonly mayConnect: boolean
  /** Whether it can also read `spidra.batch_results`. */
  readonly readsResults: boolean
  /** Whether it can read other tables in schema `spidra` too, by other rights: as a superuser, owner, or member of a role. */
  readonly readsTables: boolean
}

/**
 * Lets a role read the views of `spidra_reporting`, including future ones, and nothing else. Can be repeated.
 *
 * @param options `withResults`: also lets it read the results of batches. Without it, that right is neither given nor taken away
 * @throws {UnknownRoleError} when there is no such role
 * @throws {DatabaseError} when the database cannot be used, is not migrated, or our role may not grant
 */
export async function grantReader(
  databaseUrl: string,
  role: string,
  { withResults = false }: { readonly withResults?: boolean } = {},
): Promise<ReaderRights> {
  return inTransaction(databaseUrl, async (client) => {
    if (!(await hasRole(client, role))) throw new UnknownRoleError(role)
    await grantViews(client, databaseUrl, role)
    if (withResults) {
      // Results are what customers pay for. A view of them would be open to every role that may read the schema of views.
      await client.query(`GRANT USAGE ON SCHEMA spidra TO ${escapeIdentifier(role)}`)
      await client.query(`GRANT SELECT ON spidra.batch_results TO ${escapeIdentifier(role)}`)
    }
    const rights = await readRights(client, databaseUrl, role)
    if (withResults && !rights.readsResults) {
      throw new DatabaseError(databaseUrl, { code: 'permission', source: 'cannot grant batch_results' })
    }
    return rights
  })
}

/**
 * Creates a login role that may read the views and every table, so that `status` and `report` work with its URL too, and that
 * may write nothing. An existing role gets the password. Needs a role that may create roles, such as the superuser of the
 * embedded Postgres.
 */
export async function ensureReaderRole(databaseUrl: string, role: string, password: string): Promise<void> {
  await inTransaction(databaseUrl, async (client) => {
    const verb = (await hasRole(client, role)) ? 'ALTER' : 'CREATE'
    // Role statements take no parameters. The password is in the server's statement log, which is why only the embedded Postgres may use this.
    await client.query(`${verb} ROLE ${escapeIdentifier(role)} LOGIN PASSWORD ${escapeLiteral(password)}`)
    await client.query(`GRANT pg_read_all_data TO ${escapeIdentifier(role)}`)
    await grantViews(client, databaseUrl, role)
  })
}

/** Opens a connection for one transaction, and closes it. */
async function inTransaction<T>(databaseUrl: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Connection({ connectionString: databaseUrl })
  try {
    await client.connect()
    await assertUsableDatabase(client, databaseUrl)
    await client.query('BEGIN')
    const result = await work(client)
    await client.query('COMMIT')
    return result
  } catch (error) {
    throw toDatabaseError(error, databaseUrl) ?? error
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function hasRole(client: Client, role: string): Promise<boolean> {
  return (await client.query('SELECT FROM pg_roles WHERE rolname = $1', [role])).rowCount === 1
}

async function grantViews(client: Client, databaseUrl: string, role: string): Promise<void> {
  const name = escapeIdentifier(role)
  const { rows: owners } = await client.query<{ owner: string }>(
    `SELECT DISTINCT pg_get_userbyid(relowner) AS owner FROM pg_class
     WHERE relkind = 'v' AND relnamespace = to_regnamespace('spidra_reporting')`,
  )
  if (owners.length === 0) throw new DatabaseError(databaseUrl, { code: 'not_migrated' })
  await client.query(`GRANT USAGE ON SCHEMA spidra_reporting TO ${name}`)
  await client.query(`GRANT SELECT ON ALL TABLES IN SCHEMA spidra_reporting TO ${name}`)
  // Default privileges belong to the role that creates the next view: the owner of the present ones.
  for (const { owner } of owners) {
    await client.query(
      `ALTER DEFAULT PRIVILEGES FOR ROLE ${escapeIdentifier(owner)} IN SCHEMA spidra_reporting GRANT SELECT ON TABLES TO ${name}`,
    )
  }
}

/** Reads which rights the role has now: Postgres only warns where a GRANT did nothing for lack of rights. */
async function readRights(client: Client, databaseUrl: string, role: string): Promise<ReaderRights> {
  const { rows } = await client.query<{ name: string; isTable: boolean; isReadable: boolean }>(
    `SELECT c.relname AS name, c.relkind = 'r' AS "isTable",
       has_schema_privilege($1::name, c.relnamespace, 'USAGE') AND has_table_privilege($1::name, c.oid, 'SELECT')
         AS "isReadable"
     FROM pg_class c
     WHERE (c.relkind = 'v' AND c.relnamespace = to_regnamespace('spidra_reporting'))
        OR (c.relkind = 'r' AND c.relnamespace = to_regnamespace('spidra'))
     ORDER BY c.relname`,
    [role],
  )
  const views = rows.filter((row) => !row.isTable)
  const refused = views.filter((row) => !row.isReadable).map((row) => row.name)
  if (refused.length > 0) {
    throw new DatabaseError(databaseUrl, { code: 'permission', source: `cannot grant ${refused.join(', ')}` })
  }
  const { rows: databases } = await client.query<{ database: string; mayConnect: boolean }>(
    `SELECT current_database() AS database,
       has_database_privilege($1::name, current_database(), 'CONNECT') AS "mayConnect"`,
    [role],
  )
  return {
    views: views.map((row) => row.name),
    database: databases[0]?.database ?? '',
    mayConnect: databases[0]?.mayConnect ?? false,
    readsResults: rows.some((row) => row.isTable && row.isReadable && row.name === 'batch_results'),
    readsTables: rows.some((row) => row.isTable && row.isReadable && row.name !== 'batch_results'),
  }
}
