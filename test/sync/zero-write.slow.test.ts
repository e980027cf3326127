import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Client } from 'pg'
import { expect, test } from 'vitest'
import { openDatabase } from '../../src/db/client.js'
import { openEmbeddedPostgres } from '../../src/db/embedded/postgres.js'
import { migrate } from '../../src/db/migrate.js'
import { startSimulator } from '../../src/simulator/server.js'
import { loadTable, runAgainst } from '../support/sync-runner.js'

const JOBS = 30_000

/** WAL is counted per server, so this test has a server of its own. */
async function openOwnServer() {
  const directory = await mkdtemp(join(tmpdir(), 'spidra-sync-wal-'))
  await chmod(directory, 0o755) // for root: the server runs as another user, who has to pass
  const server = await openEmbeddedPostgres({ directory, settings: { fsync: 'off', autovacuum: 'off' } })
  await migrate(server.url)
  const db = openDatabase(server.url, { applicationName: 'spidra-sync test' })
  const client = new Client({ connectionString: server.url })
  await client.connect()
  const sql = async (text: string, params: readonly unknown[] = []) => (await client.query(text, [...params])).rows
  return {
    url: server.url,
    db,
    sql,
    /** Waits until no connection but this one is open. */
    async allTold() {
      const others = `SELECT count(*)::integer AS open FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name = 'spidra-sync test'`
      while ((await sql(others))[0].open > 0) await setTimeout(20)
    },
    async [Symbol.asyncDispose]() {
      await client.end()
      await db.$disconnect()
      await server.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

test('an unchanged full run writes next to nothing, and touches no row of the jobs', { timeout: 300_000 }, async () => {
  await using server = await openOwnServer()
  await using simulator = await startSimulator({ jobs: JOBS, rateLimit: 'off', oddities: 0.01 })
  await loadTable(simulator, server)
  // So that the run itself leaves no hint bits to be set, and none of the load to be written.
  await server.sql('VACUUM (ANALYZE)')
  await server.sql('CHECKPOINT')

  const rows = () =>
    server.sql(`SELECT count(*)::integer AS jobs,
      md5(string_agg(uuid::text || xmin::text || xmax::text, ',' ORDER BY uuid)) AS versions FROM spidra.batch_jobs`)
  const wal = async () => (await server.sql('SELECT pg_current_wal_insert_lsn()::text AS lsn'))[0].lsn
  const rowsBefore = await rows()
  const walBefore = await wal()
  const { summary } = await runAgainst(simulator, server, { mode: 'full' })
  const walAfter = await wal()

  expect(summary).toMatchObject({ status: 'complete', mode: 'full', unchanged: expect.any(Number), storedTotal: JOBS })
  expect(summary.inserted + summary.updated + summary.removed + summary.restored).toBe(0)
  expect(summary.unchanged).toBeGreaterThanOrEqual(JOBS)
  const [written] = await server.sql('SELECT pg_wal_lsn_diff($1::pg_lsn, $2::pg_lsn)::integer AS bytes', [
    walAfter,
    walBefore,
  ])
  expect(written.bytes).toBeGreaterThan(0) // the record of the run
  expect(written.bytes).toBeLessThan(64 * 1024)
  expect(await rows()).toEqual(rowsBefore)
  expect(rowsBefore[0].jobs).toBe(JOBS)
})

test('an unchanged incremental run looks at each job once, for the proof', { timeout: 300_000 }, async () => {
  await using server = await openOwnServer()
  await using simulator = await startSimulator({ jobs: JOBS, rateLimit: 'off' })
  await loadTable(simulator, server)
  const looks = async () => {
    const [row] = await server.sql(`SELECT sum(t.seq_tup_read + i.read)::integer AS tuples
      FROM pg_stat_user_tables t JOIN LATERAL (
        SELECT sum(idx_tup_read) AS read FROM pg_stat_user_indexes i WHERE i.relid = t.relid
      ) i ON true WHERE t.schemaname = 'spidra' AND t.relname = 'batch_jobs'`)
    return row.tuples
  }
  // A server process tells what it has read when it ends.
  await server.db.$disconnect()
  await server.allTold()
  const before = await looks()

  const { summary } = await runAgainst(simulator, server)

  await server.db.$disconnect()
  await server.allTold()
  expect(summary).toMatchObject({ status: 'complete', mode: 'incremental', requests: 1 })
  expect((await looks()) - before).toBeGreaterThanOrEqual(JOBS)
  expect((await looks()) - before).toBeLessThan(JOBS * 1.1)
})
