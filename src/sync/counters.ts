import type { RunCounters } from '../db/sync-runs.js'

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
