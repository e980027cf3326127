import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import type { BaseLogger } from 'pino'
import { EmbeddedPostgresError } from './installation.js'
import { choosePort, isRunning, readServerPort, type ServerPlace, startServer, stopServer } from './server.js'

/** The share of this process in a running server. */
export interface ServerHold {
  readonly port: number
  /** Gives up the share, and stops the server if no other process has one. Safe to call twice. */
  leave(): Promise<void>
}

interface HoldOptions {
  readonly password: string
  readonly log: Pick<BaseLogger, 'debug' | 'info' | 'warn'> | undefined
  readonly signal: AbortSignal | undefined
}

/** Key of the advisory lock in database `postgres` that every process holds, shared, while it has the server open. */
const HOLD_KEY = 7_370_647

/** How long to keep trying, in milliseconds: a server that was killed may have much to recover. */
const DEADLINE_MS = 60_000

/** Between two checks of a server that is starting or stopping, in milliseconds. */
const POLL_MS = 20

const NOT_READY = 'The embedded Postgres is running but takes no connections. See postgres.log in its data directory.'

/** A start may fail because another process, or another server on the same port, was faster. That does not happen so often. */
const START_ATTEMPTS = 5

/**
 * Joins the server, or starts it, and holds a share in it.
 *
 * The share is a shared lock in the server itself. A process that leaves gives up its share and tries to get the exclusive
 * lock. It gets it only if no other process has a share, and then it stops the server. A process that joins at that moment
 * waits for the lock, loses its connection when the server stops, and tries again. A killed process loses its share with its
 * connection: the next process joins the server that it left behind, and the last one stops it.
 */
export async function holdServer(place: ServerPlace, options: HoldOptions): Promise<ServerHold> {
  const { signal, log } = options
  const deadline = performance.now() + DEADLINE_MS
  for (let failures = 0; ; ) {
    const share = await join(place, options)
    if (share !== null) {
      const hold = createHold(place, options, share)
      if (!signal?.aborted) return hold
      await hold.leave()
    }
    signal?.throwIfAborted()
    try {
      if (performance.now() > deadline) throw new EmbeddedPostgresError(NOT_READY, { code: 'not_started' })
      if (!(await isRunning(place))) await start(place, log)
    } catch (error) {
      failures += 1
      if (failures === START_ATTEMPTS || performance.now() > deadline) throw error
      log?.debug({ err: error }, 'embedded postgres did not start, trying again')
    }
    // An abort does not end this wait: a server that we have just started must be stopped by us.
    await sleep(POLL_MS * 2 ** failures)
  }
}

interface Share {
  readonly client: Client
  readonly port: number
}

/** Connects and takes the shared lock. Null: the server does not run, is not ready, or is about to stop. */
async function join(place: ServerPlace, { password, log }: HoldOptions): Promise<Share | null> {
  const port = await readServerPort(place)
  if (port === null) return null
  const client = new Client({
    ...{ host: '127.0.0.1', port, user: 'postgres', password, database: 'postgres' },
    application_name: 'spidra-sync hold',
    connectionTimeoutMillis: 5_000,
    lock_timeout: 5_000,
  })
  client.on('error', (err) => log?.debug({ err }, 'embedded postgres closed a connection'))
  try {
    await client.connect()
    const { rows } = await client.query<{ data: string }>(
      `SELECT current_setting('data_directory') AS data, pg_advisory_lock_shared($1)`,
      [HOLD_KEY],
    )
    // A copied data directory has the password of the original, and may still name its port.
    if (rows[0]?.data === place.data) return { client, port }
  } catch (err) {
    log?.debug({ err }, 'embedded postgres is not ready')
  }
  await client.end().catch(() => undefined)
  return null
}

async function start(place: ServerPlace, log: HoldOptions['log']): Promise<void> {
  const { port, kept } = await choosePort(place)
  const isMoved = kept !== null && port !== kept
  if (isMoved && (await isRunning(place))) return // another process started our server on the old port
  await startServer(place, port)
  if (isMoved) log?.warn({ port, kept }, 'embedded postgres moved to another port, the old one is in use')
}

function createHold(place: ServerPlace, options: HoldOptions, share: Share): ServerHold {
  let isLost = false
  share.client.on('error', () => {
    isLost = true
  })
  const release = async () => {
    const client = isLost ? (await join(place, options))?.client : share.client
    if (client === undefined) return
    try {
      if (await becomeLast(client)) await stopServer(place)
    } finally {
      await client.end().catch(() => undefined)
    }
  }
  let released: Promise<void> | undefined
  return {
    port: share.port,
    leave: () => {
      released ??= release()
      return released
    },
  }
}

async function becomeLast(client: Client): Promise<boolean> {
  try {
    await client.query('SELECT pg_advisory_unlock_shared($1)', [HOLD_KEY])
    const { rows } = await client.query<{ isLast: boolean }>('SELECT pg_try_advisory_lock($1) AS "isLast"', [HOLD_KEY])
    return rows[0]?.isLast ?? false
  } catch {
    return false // the connection was lost: another process became the last between the two statements, and stops the server
  }
}
