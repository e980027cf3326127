import { randomInt } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Pool, type QueryResultRow } from 'pg'
import { chooseServerUser, findPostgresBinaries } from '../../src/db/embedded/installation.js'
import { createData, startServer, stopServer } from '../../src/db/embedded/server.js'

/** A Postgres server that belongs to one test, which may stop, start and crash it. */
export interface OwnPostgres extends AsyncDisposable {
  readonly url: string
  sql<Row extends QueryResultRow = QueryResultRow>(text: string, params?: readonly unknown[]): Promise<Row[]>
  /** Stops it as an administrator does: open transactions are rolled back and connections closed. */
  stop(): Promise<void>
  start(): Promise<void>
  /** Kills one of its processes. Postgres then ends all others and recovers from its log. */
  crash(): Promise<void>
}

export async function startOwnPostgres(): Promise<OwnPostgres> {
  const directory = await mkdtemp(join(tmpdir(), 'spidra-sync-own-'))
  await chmod(directory, 0o755) // if run by root: the server runs as another user, who must be able to enter
  const data = join(directory, 'data')
  const user = await chooseServerUser(data)
  const place = { data, user, binaries: await findPostgresBinaries(user), settings: { fsync: 'off' } }
  await createData(place)
  const port = await reservePort()
  await startServer(place, port)
  const password = await readFile(join(data, 'password'), 'utf8')
  const url = `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`
  const pool = new Pool({ connectionString: url, max: 2, allowExitOnIdle: true })
  pool.on('error', () => undefined)
  const sql: OwnPostgres['sql'] = async <Row extends QueryResultRow>(text: string, params: readonly unknown[] = []) =>
    (await pool.query<Row>(text, [...params])).rows
  return {
    url,
    sql,
    stop: () => stopServer(place),
    start: () => startServer(place, port),
    async crash() {
      const [victim] = await sql<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name = 'spidra-sync' LIMIT 1`,
      )
      if (victim === undefined) throw new Error('no process to kill')
      process.kill(victim.pid, 'SIGKILL')
    },
    async [Symbol.asyncDispose]() {
      await pool.end()
      await stopServer(place)
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/**
 * Finds a port that stays free while the server is down: outside the ranges of other test servers and outgoing
 * connections.
 */
async function reservePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 30_000)
    const probe = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      probe.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
    })
    await new Promise((resolve) => probe.close(resolve))
    if (isFree) return port
  }
}
