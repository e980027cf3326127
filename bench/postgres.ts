import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Client } from 'pg'
import { openEmbeddedPostgres } from '../src/db/embedded/postgres.js'
import { cpuSecondsOf } from './process-usage.js'
import { openWalReader, type WalReader } from './wal.js'

/** A real Postgres with its usual settings, fsync among them, and a database for each subject. */
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

export async function openServer(): Promise<BenchServer> {
  const directory = await mkdtemp(join(tmpdir(), 'spidra-sync-bench-'))
  // Nothing but the subjects writes while they are measured.
  const server = await openEmbeddedPostgres({ directory, settings: { autovacuum: 'off', max_wal_size: '4GB' } })
  const admin = new Client({ connectionString: server.url })
  await admin.connect()
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
      // The second is where it went if the server's user may not reach the first.
      for (const path of [directory, dirname(server.directory)]) await rm(path, { recursive: true, force: true })
    },
  }
}

async function openDatabase(name: string, url: string, dropIt: () => Promise<unknown>): Promise<BenchDatabase> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
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
