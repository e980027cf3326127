import type { Database } from '../db/client.js'
import { beatRun, RunClosedError, type RunKey } from '../db/sync-runs.js'
import type { Counters } from './counters.js'

/** Four heartbeats missed make a holder dead. */
const HEARTBEAT_MS = 15_000

/** Says every 15 seconds that the run is alive, and how far; `stopped` aborts when another worker has closed it. */
export function startHeartbeat(
  db: Database,
  run: RunKey,
  counters: Counters,
): { readonly stopped: AbortSignal; stop(): void } {
  const stopper = new AbortController()
  const timer = setInterval(() => {
    beatRun(db, run, counters).then(
      (isAlive) => isAlive || stopper.abort(new RunClosedError(run)),
      // A database that is away for a moment fails the merges too, and they are told.
      () => {},
    )
  }, HEARTBEAT_MS)
  return { stopped: stopper.signal, stop: () => clearInterval(timer) }
}
