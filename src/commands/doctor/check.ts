/** `skip`: it could not be looked at, or there is nothing to look at yet. */
export type CheckStatus = 'ok' | 'warn' | 'fail' | 'skip'

/** What was found, in a sentence or two, and how to mend it. */
export interface Finding {
  readonly status: CheckStatus
  readonly detail: string
  readonly mend?: string
}

export interface Check extends Finding {
  /** One of a fixed list, for programs. */
  readonly name: string
}

export const ok = (detail: string): Finding => ({ status: 'ok', detail })
export const warn = (detail: string, mend?: string): Finding => ({ status: 'warn', detail, ...(mend ? { mend } : {}) })
export const fail = (detail: string, mend?: string): Finding => ({ status: 'fail', detail, ...(mend ? { mend } : {}) })
export const skip = (detail: string): Finding => ({ status: 'skip', detail })

/** Clocks that differ by less do no harm, in milliseconds. */
const MAX_SKEW_MS = 30_000

/**
 * Compares a clock with this machine's.
 *
 * @param theirs in epoch milliseconds, told at some moment between `askedAt` and `answeredAt`, which are ours.
 * @param precisionMs of `theirs`: 1000 for a clock that tells whole seconds.
 */
export function compareClocks(
  theirs: number,
  { askedAt, answeredAt, precisionMs }: { askedAt: number; answeredAt: number; precisionMs: number },
  whose: string,
): Finding {
  // It read at least `theirs`, and less than one step more.
  const ahead = askedAt - (theirs + precisionMs)
  const behind = theirs - answeredAt
  const mend =
    'Let NTP set both clocks. Schedules and freshness go by this one, budgets by the API, changes by Postgres.'
  if (ahead > MAX_SKEW_MS) return warn(`This machine is at least ${inSeconds(ahead)} ahead of ${whose}.`, mend)
  if (behind > MAX_SKEW_MS) return warn(`This machine is at least ${inSeconds(behind)} behind ${whose}.`, mend)
  return ok(`Within ${MAX_SKEW_MS / 1000} s of ${whose}.`)
}

function inSeconds(ms: number): string {
  return `${Math.round(ms / 1000).toLocaleString('en')} s`
}
