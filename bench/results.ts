import type { FreshnessRow, InstalledRow } from './freshness/freshness.js'
import type { Row } from './run.js'
import type { StandingRow } from './standing-still.js'

/** All that a benchmark measures. */
export interface Results {
  readonly rows: readonly Row[]
  readonly freshness: readonly FreshnessRow[]
  readonly installed: readonly InstalledRow[]
  readonly standing: readonly StandingRow[]
}

export const NO_RESULTS: Results = { rows: [], freshness: [], installed: [], standing: [] }

/**
 * Adds to new results those of an earlier benchmark, for the workloads that were not measured again.
 *
 * @param names of the workloads, in the order of the plan.
 * @param measured names of those that were measured now.
 */
export function combine(
  now: Results,
  earlier: Results,
  names: readonly string[],
  measured: readonly string[],
): Results {
  function merge<T>(rows: readonly T[], old: readonly T[], nameOf: (row: T) => string): T[] {
    const left = old.filter((row) => !measured.includes(nameOf(row)))
    return names.flatMap((name) => [...rows, ...left].filter((row) => nameOf(row) === name))
  }
  return {
    rows: merge(now.rows, earlier.rows, ({ workload }) => workload),
    freshness: merge(now.freshness, earlier.freshness, ({ workload }) => workload.name),
    installed: merge(now.installed, earlier.installed, ({ workload }) => workload.name),
    standing: merge(now.standing, earlier.standing, ({ workload }) => workload.name),
  }
}
