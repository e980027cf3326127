import { bound } from './bound.js'

/** What must hold before traffic or trust is given, by name: `database`, `migrations`, `schedules`, `freshness`. */
export type Readiness = Readonly<Record<string, { readonly ok: boolean; readonly detail: string }>>

/** Orchestrators ask every few seconds and take silence for death; long before that, an answer is due. */
const LIMIT_MS = 2_000

/** Wraps `check` so that it always answers, within `limitMs` (default 2,000): one that hangs or throws counts as failed. */
export function boundReadiness(check: () => Promise<Readiness>, limitMs = LIMIT_MS): () => Promise<Readiness> {
  const answer = async () => check()
  return bound(
    () => answer().catch(() => failed('the check itself failed')),
    limitMs,
    () => failed(`no answer within ${limitMs} ms`),
  )
}

function failed(detail: string): Readiness {
  return { readiness: { ok: false, detail } }
}
