import { setTimeout as sleep } from 'node:timers/promises'

/** What must hold before traffic or trust is given, by name: `database`, `migrations`, `schedules`, `freshness`. */
export type Readiness = Readonly<Record<string, { readonly ok: boolean; readonly detail: string }>>

/** Orchestrators ask every few seconds and take silence for death; long before that, an answer is due. */
const LIMIT_MS = 2_000

/**
 * Wraps `check` so that it always answers, within `limitMs` (default 2,000): a check that hangs or throws counts
 * as a failed one. While a check hangs no second one is started, so that probes do not pile up on a sick database.
 */
export function boundReadiness(check: () => Promise<Readiness>, limitMs = LIMIT_MS): () => Promise<Readiness> {
  let pending: Promise<Readiness> | null = null

  return async () => {
    pending ??= Promise.resolve()
      .then(check)
      .catch(() => failed('the check itself failed'))
      .finally(() => {
        pending = null
      })
    const timer = new AbortController()
    const late = sleep(limitMs, failed(`no answer within ${limitMs} ms`), { signal: timer.signal, ref: false })
    // Aborted after each race; the rejection has no other reader.
    late.catch(() => {})
    try {
      return await Promise.race([pending, late])
    } finally {
      timer.abort()
    }
  }
}

function failed(detail: string): Readiness {
  return { readiness: { ok: false, detail } }
}
