import type { Client } from 'pg'
import type { BenchDatabase } from './postgres.js'

/** What was written to the write-ahead log, by the whole server and for one table. */
export interface WalReader {
  /** Where the log stands. */
  mark(): Promise<string>
  /**
   * Bytes since a mark. Those of the table count every record that touches it, its indexes or what it stores out of line;
   * null where there is no such table, or the log cannot tell.
   */
  since(mark: string, database: BenchDatabase, table: string | null): Promise<{ all: number; table: number | null }>
}

/** @param admin connected to a database that no subject uses, since the extension that reads the log goes there. */
export async function openWalReader(admin: Client): Promise<WalReader> {
  // Only servers from 16 on tell the blocks of a record.
  const canTell = await admin.query('CREATE EXTENSION IF NOT EXISTS pg_walinspect').then(
    () => true,
    () => false,
  )
  return {
    async mark() {
      const { rows } = await admin.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn')
      return rows[0]?.lsn ?? '0/0'
    },
    async since(mark, database, table) {
      const { rows } = await admin.query<{ bytes: string }>(
        'SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1) AS bytes',
        [mark],
      )
      const files = canTell && table !== null ? await filesOf(database, table) : []
      return {
        all: Number(rows[0]?.bytes),
        table: files.length === 0 ? null : await bytesOn(admin, { mark, database, files }),
      }
    },
  }
}

/** File numbers of a table, its indexes, and its TOAST table with its index. */
async function filesOf({ sql }: BenchDatabase, table: string): Promise<number[]> {
  const rows = await sql<{ file: string }>(`
    WITH data AS (
      SELECT oid FROM pg_class WHERE oid = to_regclass('${table}')
      UNION ALL SELECT reltoastrelid FROM pg_class WHERE oid = to_regclass('${table}') AND reltoastrelid <> 0)
    SELECT pg_relation_filenode(oid) AS file FROM data
    UNION ALL SELECT pg_relation_filenode(indexrelid) FROM pg_index WHERE indrelid IN (SELECT oid FROM data)`)
  return rows.map(({ file }) => Number(file))
}

async function bytesOn(
  admin: Client,
  { mark, database, files }: { mark: string; database: BenchDatabase; files: readonly number[] },
): Promise<number> {
  // A commit, so that all before it can be read; hint bits wait for nobody otherwise.
  await admin.query("SELECT pg_logical_emit_message(true, 'bench', '')")
  const { rows } = await admin.query<{ bytes: string }>(
    `SELECT coalesce(sum(record_length), 0) AS bytes FROM (
       SELECT DISTINCT start_lsn, record_length FROM pg_get_wal_block_info($1, pg_current_wal_flush_lsn(), false)
       WHERE reldatabase = (SELECT oid FROM pg_database WHERE datname = $2) AND relfilenode = ANY ($3::oid[])) AS records`,
    [mark, database.name, files],
  )
  return Number(rows[0]?.bytes)
}
