import type { RunCounters } from '../db/sync-runs.js'

/** `full` reads every page; `incremental` reads the head, the open jobs and a slice of the rest. */
export type RunMode = 'full' | 'incremental'

/** What set the run off. */
export type RunTrigger = 'schedule' | 'startup' | 'manual'

/** How a run ended. `skipped`: another worker runs the account, nothing was done. */
export type RunStatus = 'complete' | 'partial' | 'failed' | 'aborted' | 'skipped'

/** One run in numbers: the `--json` line of `sync`, the log line `run finished`, the source of the metrics. */
export interface RunSummary {
  readonly status: RunStatus
  readonly mode: RunMode
  readonly account: string
  /** Id in `spidra.sync_runs`; null when skipped. A string, because a bigint has no JSON form. */
  readonly runId: string | null
  /** Why the run is not complete; null when it is. */
  readonly reason: string | null
  /** HTTP requests sent, retries among them. */
  readonly requests: number
  readonly retries: number
  readonly pagesRead: number
  readonly jobsRead: number
  readonly inserted: number
  readonly updated: number
  readonly unchanged: number
  readonly removed: number
  readonly restored: number
  readonly rejected: number
  /** Open jobs that the allowance left unread. */
  readonly openUnread: number
  /** `total` of the answer on which the verdict was taken; null when there was none. */
  readonly listedTotal: number | null
  /** Stored live jobs plus open rejections at the verdict; null when there was none. */
  readonly storedTotal: number | null
  /** Time spent waiting for the rate limit or in backoff. */
  readonly waitedMs: number
  readonly durationMs: number
}

/** The counters of a run under way. */
export type Counters = { -readonly [Name in keyof RunCounters]: number }

export function createCounters(): Counters {
  return {
    requests: 0,
    retries: 0,
    pagesRead: 0,
    seamsRepaired: 0,
    jobsRead: 0,
    inserted: 0,
    updated: 0,
    unchanged: 0,
    removed: 0,
    restored: 0,
    rejected: 0,
    waitedMs: 0,
  }
}
