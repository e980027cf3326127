import { readFile } from 'node:fs/promises'
import type { ReadOnlyConnection } from './read-only.js'

/** What the migrations make: one line an object, as `READ_CATALOGUE` spells it. */
const EXPECTED = new URL('../../prisma/catalogue.txt', import.meta.url)

/**
 * Tables and views with their columns, indexes, triggers and functions of our schemas, one line each: its kind and name,
 * `=`, its definition. The same text from Postgres 14 on, whatever the search path. Of a view only the columns: how
 * Postgres prints a query depends on its version.
 */
const READ_CATALOGUE = `
  WITH ours AS (
    SELECT c.oid, c.relname, c.relkind, n.nspname, format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('spidra', 'spidra_reporting') AND c.relkind IN ('r', 'v', 'i')
  )
  SELECT line FROM (
    SELECT format('%s %s.%I = %s%s%s%s', CASE o.relkind WHEN 'v' THEN 'view column' ELSE 'column' END, o.name, a.attname,
      format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' not null' END,
      CASE WHEN a.attidentity <> '' THEN ' identity' END, ' default ' || pg_get_expr(d.adbin, d.adrelid)) AS line
    FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE o.relkind IN ('r', 'v')
    UNION ALL
    SELECT format('index %s = %s', o.name, pg_get_indexdef(o.oid)) FROM ours o
    JOIN pg_index i ON i.indexrelid = o.oid AND i.indisvalid
    UNION ALL
    SELECT format('trigger %s.%I = %s', o.name, t.tgname, pg_get_triggerdef(t.oid))
    FROM ours o JOIN pg_trigger t ON t.tgrelid = o.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'
    UNION ALL
    SELECT format('function %I.%I(%s) = md5 %s', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), md5(p.prosrc))
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('spidra', 'spidra_reporting')
  ) lines ORDER BY line COLLATE "C"`

/** An object that is not as the migrations made it. */
export interface Drift {
  /** Kind and name, such as `index spidra.batch_jobs_live_idx`. */
  readonly name: string
  /** False: it is there, with another definition. */
  readonly isMissing: boolean
}

/** Reads the objects of our schemas as they are. */
export async function readCatalogue(connection: ReadOnlyConnection): Promise<readonly string[]> {
  const { rows } = await connection.query<{ line: string }>(READ_CATALOGUE)
  return rows.map(({ line }) => line)
}

/** What the migrations of this version make, and the database lacks. What is there beyond that may be anybody's. */
export async function findDrift(connection: ReadOnlyConnection): Promise<readonly Drift[]> {
  const [expected, actual] = await Promise.all([readFile(EXPECTED, 'utf8'), readCatalogue(connection)])
  const lines = new Set(actual)
  const names = new Set(actual.map(nameOf))
  return expected
    .split(/\r?\n/)
    .filter((line) => line !== '' && !lines.has(line))
    .map((line) => ({ name: nameOf(line), isMissing: !names.has(nameOf(line)) }))
}

function nameOf(line: string): string {
  return line.split(' = ', 1)[0] ?? line
}
