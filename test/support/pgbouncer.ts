import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Client } from 'pg'
import { createFolder } from './cli.js'

const PGBOUNCER = '/usr/sbin/pgbouncer'

const HAS_PGBOUNCER = existsSync(PGBOUNCER)

/** What the name of a test says where PgBouncer is not installed. */
export const PGBOUNCER_NOTE = HAS_PGBOUNCER ? '' : ' (NOT RUN: needs PgBouncer, on Debian `apt-get install pgbouncer`)'

export const SKIP_PGBOUNCER = !HAS_PGBOUNCER

export interface PgBouncerOptions {
  readonly mode: 'session' | 'transaction'
  /** Connections to the server, for all clients together. With fewer than clients, they are shared. */
  readonly poolSize: number
  /** Whether the connections are used in turn, so that no two statements of a client in a row meet the same one. */
  readonly isRoundRobin?: boolean
}

/** Starts PgBouncer in front of the database of a connection string. */
export async function startPgBouncer(target: string, { mode, poolSize, isRoundRobin = false }: PgBouncerOptions) {
  const { hostname, port, username, password, pathname } = new URL(target)
  const folder = await createFolder()
  const listenPort = await freePort()
  const name = pathname.slice(1)
  const file = join(folder.path, 'pgbouncer.ini')
  await writeFile(
    file,
    `[databases]
${name} = host=${hostname} port=${port} dbname=${name} user=${decodeURIComponent(username)} password='${decodeURIComponent(password)}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${listenPort}
unix_socket_dir =
auth_type = any
pool_mode = ${mode}
default_pool_size = ${poolSize}
max_client_conn = 200
server_round_robin = ${isRoundRobin ? 1 : 0}
`,
  )
  // PgBouncer refuses to run as root.
  await chmod(folder.path, 0o755)
  const isRoot = process.getuid?.() === 0
  const bouncer = spawn(PGBOUNCER, [...(isRoot ? ['-u', 'nobody'] : []), file], { stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  bouncer.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String(listenPort)
  await untilAnswers(url.href, () => log)
  return {
    url: url.href,
    [Symbol.asyncDispose]: async () => {
      bouncer.kill('SIGKILL')
      await once(bouncer, 'exit')
      await folder[Symbol.asyncDispose]()
    },
  }
}

/** Sends statements of other clients through the URL, each on a connection of its own, until it is disposed of. */
export async function startTraffic(url: string, clients: number): Promise<AsyncDisposable> {
  let isOver = false
  const ask = async () => {
    const client = new Client({ connectionString: url })
    await client.connect()
    while (!isOver) await client.query('SELECT pg_sleep(0.005)')
    await client.end()
  }
  const asking = Promise.all(Array.from({ length: clients }, ask))
  return {
    async [Symbol.asyncDispose]() {
      isOver = true
      await asking
    },
  }
}

async function untilAnswers(url: string, log: () => string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    const client = new Client({ connectionString: url })
    try {
      await client.connect()
      await client.query('SELECT 1')
      return
    } catch (error) {
      if (attempt >= 50) throw new Error(`PgBouncer does not answer: ${log()}`, { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 100))
    } finally {
      await client.end().catch(() => {})
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
