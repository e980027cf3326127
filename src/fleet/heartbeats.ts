import type { Database } from '../db/client.js'
import { deleteWorker, saveHeartbeat, type WorkerHeartbeat } from '../db/workers.js'
import type { Logger } from '../logging/logger.js'

/** Time between two heartbeats, in milliseconds. */
const INTERVAL_MS = 15_000

/** Shortest time between two heartbeats that report a change, in milliseconds. */
const CHANGE_INTERVAL_MS = 1_000

export interface HeartbeatsOptions {
  readonly db: Database
  /** `host:pid`. */
  readonly worker: string
  /** What the process reports of itself now. */
  readonly read: () => Omit<WorkerHeartbeat, 'worker'>
  readonly log: Logger
}

export interface Heartbeats {
  /** Writes a heartbeat soon, because something has changed; at most one a second. */
  soon(): void
  /** Writes no more heartbeats, and deletes the row of the process. */
  stop(): Promise<void>
}

/** Starts to write heartbeats, the first one at once. One that fails is logged; the next one is written all the same. */
export async function startHeartbeats({ db, worker, read, log }: HeartbeatsOptions): Promise<Heartbeats> {
  let writing = Promise.resolve()
  let writtenAt = 0
  let early: NodeJS.Timeout | null = null

  function write(): void {
    writtenAt = performance.now()
    // One after the other: a slow one that came late would report an old state, or a process that has ended.
    writing = writing
      .then(() => saveHeartbeat(db, { worker, ...read() }))
      .catch((err: unknown) => log.debug({ err }, 'heartbeat could not be written'))
  }

  // The row may be of an earlier process with the same host and number.
  await deleteWorker(db, worker).catch(() => {})
  write()
  await writing
  const timer = setInterval(write, INTERVAL_MS)

  return {
    soon() {
      early ??= setTimeout(
        () => {
          early = null
          write()
        },
        Math.max(0, writtenAt + CHANGE_INTERVAL_MS - performance.now()),
      )
    },
    async stop() {
      clearInterval(timer)
      if (early !== null) clearTimeout(early)
      // A heartbeat under way would insert the row again.
      await writing
      await deleteWorker(db, worker).catch(() => {})
    },
  }
}
