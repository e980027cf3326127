import type { Client } from 'pg'
import { DatabaseError } from './connection-error.js'
import { readPostgresError } from './sql-state.js'

/** A schema that is not there and may not be made, or is there and takes no table of ours, and what mends it. */
const STATEMENTS = `
  SELECT CASE WHEN n.oid IS NULL THEN format('CREATE SCHEMA %I AUTHORIZATION %I;', s.name, current_user)
    ELSE format('ALTER SCHEMA %I OWNER TO %I;', s.name, current_user) END AS statement
  FROM unnest($1::text[]) WITH ORDINALITY AS s(name, place)
  LEFT JOIN pg_namespace n ON n.nspname = s.name
  WHERE CASE WHEN n.oid IS NULL THEN NOT has_database_privilege(current_database(), 'CREATE')
    ELSE NOT has_schema_privilege(n.oid, 'CREATE') END
  ORDER BY s.place`

/**
 * Where a statement failed for want of a right: the error that names the statements which give it. Null for any other
 * error, and where the role has the schemas, so that the right it lacks is another one.
 *
 * @param client outside of a transaction
 * @param schemas those that the statement needs; default those of the migrations
 */
export async function explainMissingRight(
  error: unknown,
  client: Client,
  databaseUrl: string,
  schemas: readonly string[] = ['spidra', 'spidra_reporting'],
): Promise<DatabaseError | null> {
  const refusal = readPostgresError(error)
  if (refusal?.code !== '42501') return null
  // A connection that is lost by now says nothing; what it was refused is still known.
  const { rows } = await client.query<{ statement: string }>(STATEMENTS, [schemas]).catch(() => ({ rows: [] }))
  if (rows.length === 0) return null
  return new DatabaseError(databaseUrl, {
    code: 'permission',
    source: `${refusal.message}, SQLSTATE ${refusal.code}`,
    mend: `let an administrator of the database run \`${rows.map(({ statement }) => statement).join(' ')}\``,
    cause: error,
  })
}
