import type { Database } from '../../db/client.js'
import { CREATE_AS_UTF8, OLDEST_VERSION, READ_SERVER_FACTS, type ServerFacts } from '../../db/connection-error.js'
import { MigrationError, readMigrationStatus } from '../../db/migrate.js'
import type { ReadOnlyConnection } from '../../db/read-only.js'
import { compareClocks, type Finding, fail, ok, warn } from './check.js'

export async function checkServer(connection: ReadOnlyConnection, isEmbedded: boolean): Promise<Finding> {
  const { rows } = await connection.query<ServerFacts & { database: string; role: string }>(
    `${READ_SERVER_FACTS}, current_database() AS database, current_user AS role`,
  )
  const [server] = rows
  if (server === undefined) return fail('Postgres did not report its version.')
  const place = isEmbedded ? 'the embedded server' : `database "${server.database}" as "${server.role}"`
  const found = `Postgres ${server.version}, ${place}.`
  if (server.number < OLDEST_VERSION) return fail(found, 'spidra-sync needs Postgres 14 or later.')
  if (server.encoding === 'UTF8') return ok(found)
  return fail(
    `${found} Its encoding is ${server.encoding}, which cannot store every character.`,
    `C${CREATE_AS_UTF8.slice(1)}.`,
  )
}

export async function checkDatabaseClock(connection: ReadOnlyConnection): Promise<Finding> {
  const askedAt = Date.now()
  const { rows } = await connection.query<{ ms: number }>(
    'SELECT extract(epoch FROM clock_timestamp())::double precision * 1000 AS ms',
  )
  return compareClocks(rows[0]?.ms ?? Number.NaN, { askedAt, answeredAt: Date.now(), precisionMs: 0 }, 'Postgres')
}

/** Checks the migrations. `isCurrent` says whether the tables are those of this version, so that they can be read. */
export async function checkMigrations(db: Database): Promise<{ finding: Finding; isCurrent: boolean }> {
  try {
    const { pending, unknown, total } = await readMigrationStatus(db)
    if (pending.length > 0) {
      const fix = 'Run `spidra-sync migrate`; `start` and `sync` also apply them.'
      return { finding: warn(`Not applied yet: ${pending.join(', ')}.`, fix), isCurrent: false }
    }
    if (unknown.length > 0) {
      const fix = 'Update spidra-sync here. The old version still works, because migrations only add.'
      return {
        finding: warn(`A newer version has migrated this database: ${unknown.join(', ')}.`, fix),
        isCurrent: true,
      }
    }
    return { finding: ok(`All ${total} are applied.`), isCurrent: true }
  } catch (error) {
    // An edited migration was applied nevertheless, so the tables exist.
    if (error instanceof MigrationError) return { finding: fail(error.message), isCurrent: error.code === 'edited' }
    throw error
  }
}

interface Rights {
  readonly role: string
  readonly database: string
  readonly isReadOnly: boolean
  readonly mayCreateSchemas: boolean
  readonly missingSchemas: readonly string[]
  /** Schemas that the role may not use, or create objects in. */
  readonly closedSchemas: readonly string[]
  /** Tables that the role may not read or write. */
  readonly closedTables: readonly string[]
  /** Tables whose row-level security applies to the role, and has no policy that lets it read and write every row. */
  readonly hiddenTables: readonly string[]
  /** Objects that another role owns. */
  readonly foreign: readonly string[]
}

const READ_RIGHTS = `
  WITH wanted AS (
    SELECT w.name, w.place, n.oid FROM unnest(ARRAY['spidra', 'spidra_reporting']) WITH ORDINALITY AS w(name, place)
    LEFT JOIN pg_namespace n ON n.nspname = w.name
  ), ours AS (
    SELECT c.oid, c.relkind, c.relowner, format('%I.%I', w.name, c.relname) AS name
    FROM wanted w JOIN pg_class c ON c.relnamespace = w.oid WHERE c.relkind IN ('r', 'v')
  )
  SELECT current_user::text AS role, current_database()::text AS database,
    pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean AS "isReadOnly",
    has_database_privilege(current_database(), 'CREATE') AS "mayCreateSchemas",
    array(SELECT name FROM wanted WHERE oid IS NULL ORDER BY place) AS "missingSchemas",
    array(SELECT name FROM wanted WHERE oid IS NOT NULL
      AND NOT (has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')) ORDER BY place) AS "closedSchemas",
    array(SELECT name FROM ours WHERE relkind = 'r' AND NOT (has_table_privilege(oid, 'SELECT')
      AND has_table_privilege(oid, 'INSERT') AND has_table_privilege(oid, 'UPDATE')
      AND has_table_privilege(oid, 'DELETE')) ORDER BY name) AS "closedTables",
    array(SELECT name FROM ours WHERE relkind = 'r' AND row_security_active(oid) AND (
      EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = ours.oid AND NOT p.polpermissive)
      OR NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = ours.oid AND p.polpermissive AND p.polcmd = '*'
        AND EXISTS (SELECT FROM unnest(p.polroles) AS r(oid)
          WHERE CASE WHEN r.oid = 0 THEN true ELSE pg_has_role(r.oid, 'USAGE') END)
        AND pg_get_expr(p.polqual, p.polrelid) = 'true'
        AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true')) ORDER BY name) AS "hiddenTables",
    array(SELECT name FROM ours WHERE NOT pg_has_role(relowner, 'USAGE') ORDER BY name) AS foreign`

export async function checkRights(connection: ReadOnlyConnection): Promise<Finding> {
  const { rows } = await connection.query<Rights & Record<string, unknown>>(READ_RIGHTS)
  const [rights] = rows
  return rights === undefined ? fail('Postgres did not report the rights.') : judgeRights(rights)
}

function judgeRights(rights: Rights): Finding {
  const { role, database, missingSchemas, closedSchemas, closedTables, hiddenTables, foreign } = rights
  if (rights.isReadOnly) {
    return fail(
      `Database "${database}" is read-only.`,
      'Point DATABASE_URL at the primary server, or end its read-only mode.',
    )
  }
  if (missingSchemas.length > 0 && !rights.mayCreateSchemas) {
    const statements = missingSchemas.map((schema) => `CREATE SCHEMA ${schema} AUTHORIZATION "${role}"`)
    return fail(
      `"${role}" may not create ${missingSchemas.join(' and ')}.`,
      `Let an owner of the database run: ${statements.join('; ')}`,
    )
  }
  if (closedSchemas.length > 0) {
    const statements = closedSchemas.map((schema) => `GRANT USAGE, CREATE ON SCHEMA ${schema} TO "${role}"`)
    return fail(
      `"${role}" may not use and create in ${closedSchemas.join(' and ')}.`,
      `Let its owner run: ${statements.join('; ')}`,
    )
  }
  if (closedTables.length > 0) {
    return fail(
      `"${role}" may not read and write ${someOf(closedTables)}.`,
      `Let it own them: ALTER TABLE ... OWNER TO "${role}".`,
    )
  }
  if (hiddenTables.length > 0) {
    return fail(
      `Row-level security may hide or refuse rows of ${someOf(hiddenTables)} for "${role}".`,
      `End it: ALTER TABLE ... DISABLE ROW LEVEL SECURITY; or give the role every row: CREATE POLICY spidra_sync ON ... TO "${role}" USING (true).`,
    )
  }
  if (foreign.length > 0) {
    return warn(
      `${someOf(foreign)} belong to another role: runs work, but migrations of later versions may fail.`,
      `Let "${role}" own them: ALTER TABLE ... OWNER TO "${role}".`,
    )
  }
  return ok(`"${role}" has all rights that runs and migrations need.`)
}

/** Lists a few names, and counts the others. */
function someOf(names: readonly string[]): string {
  return names.length <= 3 ? names.join(', ') : `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`
}
