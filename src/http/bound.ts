import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Wraps `work` so that it never takes longer than `limitMs`: after that `late` answers in its place. While a call hangs no
 * second one is started, so that callers do not pile up on a sick database.
 */
export function bound<Answer>(work: () => Promise<Answer>, limitMs: number, late: () => Answer): () => Promise<Answer> {
  let pending: Promise<Answer> | null = null

  return async () => {
    pending ??= Promise.resolve()
      .then(work)
      .finally(() => {
        pending = null
      })
    const timer = new AbortController()
    const timeout = sleep(limitMs, undefined, { signal: timer.signal, ref: false }).then(late)
    // Each of the two may lose the race, and has no other reader then.
    timeout.catch(() => {})
    pending.catch(() => {})
    try {
      return await Promise.race([pending, timeout])
    } finally {
      timer.abort()
    }
  }
}
