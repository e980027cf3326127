import type { Database } from '../db/client.js'
import { deleteWorker, saveHeartbeat, type WorkerHeartbeat } from '../db/workers.js'
import type { Logger } from '../logging/logger.js'

/** Between two signs of life, in milliseconds. */
const EVERY_MS = 15_000

/** Between two that changes bring about, in milliseconds. */
const CHANGES_EVERY_MS = 1_000

export interface SignsOptions {
  readonly db: Database
  /** `host:pid`. */
  readonly worker: string
  /** What there is to say now. */
  readonly sign: () => Omit<WorkerHeartbeat, 'worker'>
  readonly log: Logger
}

export interface Signs {
  /** Something has changed: gives a sign soon, at most one a second. */
  soon(): void
  /** Gives none any more, and takes the process off the list. */
  stop(): Promise<void>
}

/** Gives signs of life, the first one at once. The database may be away: the next one comes all the same. */
export async function startSigns({ db, worker, sign, log }: SignsOptions): Promise<Signs> {
  let giving = Promise.resolve()
  let givenAt = 0
  let early: NodeJS.Timeout | null = null

  function give(): void {
    givenAt = performance.now()
    // One after the other: a slow one that came in late would speak of the past, or of a process that is gone.
    giving = giving
      .then(() => saveHeartbeat(db, { worker, ...sign() }))
      .catch((err: unknown) => log.debug({ err }, 'sign of life could not be given'))
  }

  // The same host and number may have been another process before.
  await deleteWorker(db, worker).catch(() => {})
  give()
  await giving
  const timer = setInterval(give, EVERY_MS)

  return {
    soon() {
      early ??= setTimeout(
        () => {
          early = null
          give()
        },
        Math.max(0, givenAt + CHANGES_EVERY_MS - performance.now()),
      )
    },
    async stop() {
      clearInterval(timer)
      if (early !== null) clearTimeout(early)
      // One under way would put the process on the list again.
      await giving
      await deleteWorker(db, worker).catch(() => {})
    },
  }
}
