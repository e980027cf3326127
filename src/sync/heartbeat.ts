import type { Database } from '../db/client.js'
import { beatRun, RunClosedError, type RunKey } from '../db/sync-runs.js'
import type { Counters } from './counters.js'

/** Writes the heartbeat of the run and its counters every `everyMs`; `stopped` aborts when another worker closed the run. */
export function startHeartbeat(
  db: Database,
  run: RunKey,
  counters: Counters,
  everyMs: number,
): { readonly stopped: AbortSignal; stop(): void } {
  const stopper = new AbortController()
  const timer = setInterval(() => {
    beatRun(db, run, counters).then(
      (isAlive) => isAlive || stopper.abort(new RunClosedError(run)),
      // A database that is away for a moment fails the merges too, and they are told.
      () => {},
    )
  }, everyMs)
  return { stopped: stopper.signal, stop: () => clearInterval(timer) }
}
