import { collectDefaultMetrics, Registry } from 'prom-client'
import type { FleetReport } from '../report/fleet.js'
import type { SpidraErrorCode } from '../spidra/errors.js'
import type { RunMode, RunStatus, RunSummary } from '../sync/run-summary.js'
import { createFleetInstruments, createPauseGauge } from './fleet-instruments.js'
import { createInstruments } from './instruments.js'

/** How far an account has come, as the database knows it. */
export interface StoredTotals {
  readonly lastCompleteAt: Date | null
  readonly rereadSince: Date | null
  readonly listedTotal: number | null
  readonly storedTotal: number | null
  readonly openRejections: number
}

export interface Metrics {
  /** The exposition text, and its media type. */
  readonly read: () => Promise<string>
  readonly contentType: string
  /** Prepares the series of an account that came later; one that is there already stays as it is. */
  readonly addAccount: (account: string) => void
  /** Takes the gauges of an account away that is served no more: what stands still would raise alarms. */
  readonly forgetAccount: (account: string) => void
  readonly runStarted: (account: string) => void
  readonly observeRun: (summary: RunSummary) => void
  readonly observeRequest: (request: {
    readonly account: string
    readonly outcome: 'ok' | SpidraErrorCode
    readonly retry: boolean
    readonly durationMs: number
  }) => void
  /** Shows workers and queue; their series exist from the first time on. */
  readonly showFleet: (fleet: FleetReport) => void
  /** Whether this process takes no runs for want of requests; the series exists from the first time on. */
  readonly showPause: (isPaused: boolean) => void
  /** Takes over what is stored. Freshness and totals come from here only: they move in the middle of a run, too. */
  readonly restore: (account: string, totals: StoredTotals) => void
}

// Records, not arrays: a member added to one of the unions does not compile until it has its series here.
const OUTCOMES = Object.keys({
  ok: true,
  unauthorized: true,
  forbidden: true,
  payment_required: true,
  rate_limited: true,
  server_error: true,
  bad_payload: true,
  timeout: true,
  network: true,
  rejected: true,
} satisfies Record<'ok' | SpidraErrorCode, true>)
const MODES = Object.keys({ full: true, incremental: true } satisfies Record<RunMode, true>)
const STATUSES = Object.keys({
  complete: true,
  partial: true,
  failed: true,
  aborted: true,
  skipped: true,
} satisfies Record<RunStatus, true>)
const ROWS = ['inserted', 'updated', 'unchanged', 'removed', 'restored', 'rejected'] as const

/**
 * The metrics of one worker, on a registry of their own. All names begin with `spidra_sync_`.
 * Counters exist at 0 from the start, since Prometheus sees no increase in a series that appears with its first event.
 */
export function createMetrics(options: { readonly version: string; readonly accounts: readonly string[] }): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'spidra_sync_' })
  const series = createInstruments(registry)

  series.build.set({ version: options.version }, 1)
  let show: ((fleet: FleetReport) => void) | null = null
  let setPause: ((isPaused: boolean) => void) | null = null
  const prepared = new Set<string>()
  for (const account of options.accounts) addAccount(account)

  function addAccount(account: string): void {
    // A gauge that is set to 0 again would forget what it showed.
    if (prepared.has(account)) return
    prepared.add(account)
    for (const mode of MODES) {
      for (const status of STATUSES) series.runs.inc({ account, mode, status }, 0)
      series.runDuration.zero({ account, mode })
    }
    for (const outcome of ROWS) series.rows.inc({ account, outcome }, 0)
    for (const outcome of OUTCOMES) series.requests.inc({ account, outcome }, 0)
    series.retries.inc({ account }, 0)
    series.requestDuration.zero({ account })
    series.waited.inc({ account }, 0)
    series.inProgress.set({ account }, 0)
    series.lastComplete.set({ account }, 0)
    series.rereadSince.set({ account }, 0)
  }

  return {
    read: () => registry.metrics(),
    contentType: registry.contentType,
    addAccount,
    forgetAccount(account) {
      prepared.delete(account)
      const { inProgress, lastComplete, rereadSince, listed, stored, openRejections } = series
      for (const gauge of [inProgress, lastComplete, rereadSince, listed, stored, openRejections])
        gauge.remove({ account })
    },
    runStarted: (account) => series.inProgress.set({ account }, 1),
    observeRun: (summary) => {
      const { account, mode, status } = summary
      // It was taken out while its last run was under way.
      if (!prepared.has(account)) return
      series.inProgress.set({ account }, 0)
      series.runs.inc({ account, mode, status })
      if (status === 'skipped') return
      series.runDuration.observe({ account, mode }, summary.durationMs / 1000)
      series.waited.inc({ account }, summary.waitedMs / 1000)
      for (const outcome of ROWS) series.rows.inc({ account, outcome }, summary[outcome])
    },
    observeRequest: ({ account, outcome, retry, durationMs }) => {
      series.requests.inc({ account, outcome })
      if (retry) series.retries.inc({ account })
      series.requestDuration.observe({ account }, durationMs / 1000)
    },
    showFleet(fleet) {
      show ??= createFleetInstruments(registry)
      show(fleet)
    },
    showPause(isPaused) {
      setPause ??= createPauseGauge(registry)
      setPause(isPaused)
    },
    restore: (account, { lastCompleteAt, rereadSince, listedTotal, storedTotal, openRejections }) => {
      series.lastComplete.set({ account }, (lastCompleteAt?.getTime() ?? 0) / 1000)
      series.rereadSince.set({ account }, (rereadSince?.getTime() ?? 0) / 1000)
      if (listedTotal !== null) series.listed.set({ account }, listedTotal)
      if (storedTotal !== null) series.stored.set({ account }, storedTotal)
      series.openRejections.set({ account }, openRejections)
    },
  }
}
