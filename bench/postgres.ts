import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Pool } from 'pg'
import { openEmbeddedPostgres } from '../src/db/embedded/postgres.js'
import { cpuSecondsOf } from './process-usage.js'

/** A real Postgres with its default settings, fsync included, and a database for each subject. */
export interface BenchServer extends AsyncDisposable {
  readonly version: string
  readonly wal: WalReader
  createDatabase(name: string): Promise<BenchDatabase>
  cpuSeconds(): number | null
}

export interface BenchDatabase {
  readonly name: string
  readonly url: string
  sql<Row>(text: string): Promise<Row[]>
  deadTuples(): Promise<number>
  drop(): Promise<void>
}

/** Starts the server in a temporary directory. Without autovacuum only the subject writes while it is measured. */
export async function openServer({ autovacuum }: { readonly autovacuum: 'on' | 'off' }): Promise<BenchServer> {
  const directory = await mkdtemp(join(tmpdir(), 'spidra-sync-bench-'))
  const server = await openEmbeddedPostgres({ directory, settings: { autovacuum, max_wal_size: '4GB' } })
  const admin = openConnection(server.url)
  const { rows } = await admin.query<{ version: string }>("SELECT current_setting('server_version') AS version")
  const pid = Number((await readFile(join(server.directory, 'postmaster.pid'), 'utf8')).split('\n', 1)[0])
  return {
    version: rows[0]?.version ?? '',
    wal: await openWalReader(admin),
    cpuSeconds: () => cpuSecondsOf(pid),
    async createDatabase(name) {
      await admin.query(`CREATE DATABASE ${name}`)
      const url = new URL(server.url)
      url.pathname = `/${name}`
      return openDatabase(name, url.href, () => admin.query(`DROP DATABASE ${name} WITH (FORCE)`))
    },
    async [Symbol.asyncDispose]() {
      await admin.end()
      await server.close()
      // The server's directory is another one if the server's user may not reach `directory`.
      for (const path of [directory, dirname(server.directory)]) await rm(path, { recursive: true, force: true })
    },
  }
}

/** One connection, for which queries wait. */
function openConnection(connectionString: string): Pool {
  const pool = new Pool({ connectionString, max: 1 })
  pool.on('error', () => {})
  return pool
}

function openDatabase(name: string, url: string, dropIt: () => Promise<unknown>): BenchDatabase {
  const client = openConnection(url)
  const sql = async <Row>(text: string) => (await client.query(text)).rows as Row[]
  return {
    name,
    url,
    sql,
    async deadTuples() {
      const [row] = await sql<{ dead: string }>('SELECT coalesce(sum(n_dead_tup), 0) AS dead FROM pg_stat_user_tables')
      return Number(row?.dead)
    },
    async drop() {
      await client.end()
      await dropIt()
    },
  }
}

/** Reads how many bytes were written to the write-ahead log (WAL), by the whole server and for one table. */
interface WalReader {
  /** The current position in the log. */
  mark(): Promise<string>
  /**
   * Bytes since a mark. `table` counts every record that touches the table, its indexes or its TOAST table; null if there is
   * no such table, or the server cannot list the blocks of a record.
   */
  since(mark: string, database: BenchDatabase, table: string | null): Promise<{ all: number; table: number | null }>
}

/** @param admin connected to a database that no subject uses, because the extension that reads the log is created there. */
async function openWalReader(admin: Pool): Promise<WalReader> {
  // Postgres lists the blocks of a record from version 16 on.
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

/** Lists the file numbers of a table, its indexes, and its TOAST table with its index. */
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
  admin: Pool,
  { mark, database, files }: { mark: string; database: BenchDatabase; files: readonly number[] },
): Promise<number> {
  // A transactional message flushes the log, so that all records before it can be read; hint bits alone do not.
  await admin.query("SELECT pg_logical_emit_message(true, 'bench', '')")
  const { rows } = await admin.query<{ bytes: string }>(
    `SELECT coalesce(sum(record_length), 0) AS bytes FROM (
       SELECT DISTINCT start_lsn, record_length FROM pg_get_wal_block_info($1, pg_current_wal_flush_lsn(), false)
       WHERE reldatabase = (SELECT oid FROM pg_database WHERE datname = $2) AND relfilenode = ANY ($3::oid[])) AS records`,
    [mark, database.name, files],
  )
  return Number(rows[0]?.bytes)
}
