import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { FleetReport } from '../report/fleet.js'
import type { LoadProgress } from '../report/load-progress.js'
import { type AccountProgress, ALERT_KINDS } from '../report/status.js'
import type { SpidraErrorCode } from '../spidra/errors.js'
import type { RunMode, RunStatus, RunSummary } from '../sync/run-summary.js'

/** The metrics of one process. */
export interface Metrics {
  /**
   * Returns the text of the metrics.
   *
   * @param options `hasAccounts`: whether it shows names of accounts. Without them, the series of all accounts are one: the sum
   *   of their values; of timestamps and what is left, the value of the account that is worst off
   */
  readonly read: (options: { readonly hasAccounts: boolean }) => Promise<string>
  /** The media type of the text. */
  readonly contentType: string
  /** Creates the series of a new account. Does nothing for a known one. */
  readonly addAccount: (account: string) => void
  /** Removes the gauges of an account that is no longer served: a gauge that no longer changes would raise alerts. */
  readonly forgetAccount: (account: string) => void
  readonly runStarted: (account: string) => void
  readonly observeRun: (summary: RunSummary) => void
  readonly observeRequest: (request: {
    readonly account: string
    readonly outcome: 'ok' | SpidraErrorCode
    readonly retry: boolean
    readonly durationMs: number
  }) => void
  /** Sets the series of workers and queue, which exist from the first call on. */
  readonly showFleet: (fleet: FleetReport) => void
  /** Sets whether this process takes no runs because its request budget is spent. Its series exists from the first call on. */
  readonly showPause: (isPaused: boolean) => void
  /** Sets freshness and totals from the database, their only source, because they also change in the middle of a run. */
  readonly restore: (account: string, totals: Omit<AccountProgress, 'account' | 'isFirstLoad' | 'results'>) => void
  /** Sets how far the results of an account's batches are read. Null removes the series; they exist from the first other call on. */
  readonly showResults: (account: string, results: AccountProgress['results']) => void
  /** Sets how far the first load of an account is. Null removes the series. */
  readonly showFirstLoad: (account: string, progress: LoadProgress | null) => void
}

// Records, not arrays: a new member of one of the unions does not compile until it has its series here.
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

/** Gauges of prom-client with names of counters, which `promtool check metrics` reports. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total']

/**
 * Creates the metrics of a process, on registries of their own. Our names begin with `spidra_sync_`; those about the process
 * are the usual `process_` and `nodejs_` ones. Counters start at 0, because Prometheus sees no increase in a series that
 * appears with its first event.
 */
export function createMetrics(options: { readonly version: string; readonly accounts: readonly string[] }): Metrics {
  const ofProcess = new Registry()
  const ofAccounts = new Registry()
  collectDefaultMetrics({ register: ofProcess })
  for (const name of MISNAMED) ofProcess.removeSingleMetric(name)
  createBuildGauge(ofProcess).set({ version: options.version }, 1)
  const series = createInstruments(ofAccounts)

  let ofResults: ReturnType<typeof createResultsGauges> | null = null
  let show: ((fleet: FleetReport) => void) | null = null
  let setPause: ((isPaused: boolean) => void) | null = null
  const prepared = new Set<string>()
  for (const account of options.accounts) addAccount(account)

  function addAccount(account: string): void {
    // Setting the gauges to 0 again would lose their values.
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
    async read({ hasAccounts }) {
      return (
        (await ofProcess.metrics()) + (await (hasAccounts ? ofAccounts : await withoutAccounts(ofAccounts)).metrics())
      )
    },
    contentType: ofProcess.contentType,
    addAccount,
    forgetAccount(account) {
      prepared.delete(account)
      for (const metric of Object.values({ ...series, ...ofResults })) {
        if (!(metric instanceof Gauge)) continue
        if (metric === series.firingAlerts) for (const kind of ALERT_KINDS) metric.remove({ account, kind })
        else metric.remove({ account })
      }
    },
    runStarted: (account) => series.inProgress.set({ account }, 1),
    observeRun: (summary) => {
      const { account, mode, status } = summary
      // The account was removed while its last run was under way.
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
      show ??= createFleetInstruments(ofProcess, ofAccounts)
      show(fleet)
    },
    showPause(isPaused) {
      setPause ??= createPauseGauge(ofProcess)
      setPause(isPaused)
    },
    restore(account, totals) {
      series.lastComplete.set({ account }, (totals.lastCompleteAt?.getTime() ?? 0) / 1000)
      series.rereadSince.set({ account }, (totals.rereadSince?.getTime() ?? 0) / 1000)
      setOrRemove(series.listed, account, totals.listedTotal)
      setOrRemove(series.stored, account, totals.storedTotal)
      series.openRejections.set({ account }, totals.openRejections)
      series.stuck.set({ account }, totals.stuckJobs)
      for (const kind of ALERT_KINDS) {
        series.firingAlerts.set({ account, kind }, totals.firingAlerts.includes(kind) ? 1 : 0)
      }
      setOrRemove(series.requestLimit, account, totals.requestLimit)
      setOrRemove(series.requestsLeft, account, totals.requestsLeft)
    },
    showResults(account, results) {
      if (ofResults === null && results === null) return
      ofResults ??= createResultsGauges(ofAccounts)
      const completeAt = results?.completeAsOf ?? null
      setOrRemove(ofResults.due, account, results?.due ?? null)
      setOrRemove(ofResults.complete, account, completeAt === null ? null : completeAt.getTime() / 1000)
    },
    showFirstLoad(account, progress) {
      const doneAt = progress?.doneAt ?? null
      setOrRemove(series.firstLoadStored, account, progress?.doneJobs ?? null)
      setOrRemove(series.firstLoadListed, account, progress?.listedJobs ?? null)
      setOrRemove(series.firstLoadEnd, account, doneAt === null ? null : Date.parse(doneAt) / 1000)
    },
  }
}

function setOrRemove(gauge: Gauge<'account'>, account: string, value: number | null): void {
  if (value === null) gauge.remove({ account })
  else gauge.set({ account }, value)
}

/** The same series without the names of the accounts: values whose other labels are equal are aggregated. */
async function withoutAccounts(registry: Registry): Promise<Registry> {
  const metrics = await registry.getMetricsAsJSON()
  const nameless = metrics.map((metric) => ({
    ...metric,
    values: metric.values.map(({ labels: { account: _, ...labels }, ...value }) => ({ ...value, labels })),
  }))
  return AggregatorRegistry.aggregate([nameless])
}

const REQUEST_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
/** Up to half a day: a full pass over a large account waits for many rate limit windows. */
const RUN_SECONDS = [0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400, 43_200]

/** Creates the series of the accounts on `registry`. */
function createInstruments(registry: Registry) {
  const registers = [registry]
  return {
    runs: new Counter({
      name: 'spidra_sync_runs_total',
      help: 'Runs, by mode and final status.',
      labelNames: ['account', 'mode', 'status'],
      registers,
    }),
    runDuration: new Histogram({
      name: 'spidra_sync_run_duration_seconds',
      help: 'Duration of runs, waiting included, without skipped runs.',
      labelNames: ['account', 'mode'],
      buckets: RUN_SECONDS,
      registers,
    }),
    inProgress: new Gauge({
      name: 'spidra_sync_run_in_progress',
      help: '1 while this worker runs, else 0.',
      labelNames: ['account'],
      registers,
    }),
    rows: new Counter({
      name: 'spidra_sync_rows_total',
      help: 'Jobs by what the merge did with them; "rejected" counts items that could not be stored.',
      labelNames: ['account', 'outcome'],
      registers,
    }),
    waited: new Counter({
      name: 'spidra_sync_waited_seconds_total',
      help: 'Time that runs spent waiting for the rate limit or in backoff.',
      labelNames: ['account'],
      registers,
    }),
    lastComplete: new Gauge({
      name: 'spidra_sync_last_complete_timestamp_seconds',
      help: 'Unix time at which the table was last proved to hold what the API lists; 0 before the first time.',
      labelNames: ['account'],
      aggregator: 'min',
      registers,
    }),
    rereadSince: new Gauge({
      name: 'spidra_sync_reread_since_timestamp_seconds',
      help: 'Unix time since which every listed job has been read again; 0 before the first complete pass.',
      labelNames: ['account'],
      aggregator: 'min',
      registers,
    }),
    listed: new Gauge({
      name: 'spidra_sync_listed_jobs',
      help: 'Jobs that the API listed at the last verdict; absent before the first verdict.',
      labelNames: ['account'],
      registers,
    }),
    stored: new Gauge({
      name: 'spidra_sync_stored_jobs',
      help: 'Listed items that were stored as jobs or kept in quarantine, at the last verdict; absent before the first verdict.',
      labelNames: ['account'],
      registers,
    }),
    stuck: new Gauge({
      name: 'spidra_sync_stuck_jobs',
      help: 'Open jobs without progress for longer than STUCK_AFTER_HOURS.',
      labelNames: ['account'],
      registers,
    }),
    firingAlerts: new Gauge({
      name: 'spidra_sync_firing_alerts',
      help: '1 while the alert of this kind fires, by the last check of a service, else 0.',
      labelNames: ['account', 'kind'],
      registers,
    }),
    requestLimit: new Gauge({
      name: 'spidra_sync_request_limit',
      help: 'Requests of a whole rate limit window, as the API reported to the last run; absent if it reports none.',
      labelNames: ['account'],
      aggregator: 'min',
      registers,
    }),
    requestsLeft: new Gauge({
      name: 'spidra_sync_requests_left',
      help: 'Requests left in the rate limit window, as the API reported to the last run; absent if it reports none.',
      labelNames: ['account'],
      aggregator: 'min',
      registers,
    }),
    firstLoadStored: new Gauge({
      name: 'spidra_sync_first_load_stored_jobs',
      help: 'Items that an unfinished first load has stored; absent when none is unfinished.',
      labelNames: ['account'],
      registers,
    }),
    firstLoadListed: new Gauge({
      name: 'spidra_sync_first_load_listed_jobs',
      help: 'Jobs that the API lists, of an unfinished first load; absent when none is unfinished.',
      labelNames: ['account'],
      registers,
    }),
    firstLoadEnd: new Gauge({
      name: 'spidra_sync_first_load_end_timestamp_seconds',
      help: 'Estimated Unix time at which the first load will be done; absent when that is unknown or none is unfinished.',
      labelNames: ['account'],
      aggregator: 'max',
      registers,
    }),
    openRejections: new Gauge({
      name: 'spidra_sync_open_rejections',
      help: 'Listed items in quarantine, because they could not be stored as listed.',
      labelNames: ['account'],
      registers,
    }),
    requests: new Counter({
      name: 'spidra_sync_requests_total',
      help: 'HTTP requests to the API by outcome, retries included.',
      labelNames: ['account', 'outcome'],
      registers,
    }),
    retries: new Counter({
      name: 'spidra_sync_retries_total',
      help: 'HTTP requests to the API that repeated a failed one.',
      labelNames: ['account'],
      registers,
    }),
    requestDuration: new Histogram({
      name: 'spidra_sync_request_duration_seconds',
      help: 'Duration of HTTP requests to the API, without waiting for the rate limit.',
      labelNames: ['account'],
      buckets: REQUEST_SECONDS,
      registers,
    }),
  }
}

/** Creates the series of the results of batches, which only a service that keeps them has. */
function createResultsGauges(registry: Registry) {
  const registers = [registry]
  return {
    due: new Gauge({
      name: 'spidra_sync_results_due',
      help: 'Ended batches whose items are still to be read; absent where SYNC_RESULTS is off.',
      labelNames: ['account'],
      registers,
    }),
    complete: new Gauge({
      name: 'spidra_sync_results_complete_timestamp_seconds',
      help: 'Unix time of the latest list of which the items of all ended batches had been read; absent before the first time.',
      labelNames: ['account'],
      aggregator: 'min',
      registers,
    }),
  }
}

function createBuildGauge(registry: Registry): Gauge<'version'> {
  return new Gauge({
    name: 'spidra_sync_build_info',
    help: 'Always 1; the version is in the label.',
    labelNames: ['version'],
    registers: [registry],
  })
}

/** Each has a series from the start, because no alert fires on a missing one. */
const ROLES = ['scheduler', 'worker', 'both']

/** Creates the series of the fleet. Every process of the fleet shows the same values. */
function createFleetInstruments(ofProcess: Registry, ofAccounts: Registry): (fleet: FleetReport) => void {
  const registers = [ofProcess]
  const workers = new Gauge({
    name: 'spidra_sync_workers',
    help: 'Processes of the fleet with a heartbeat within the last minute.',
    labelNames: ['role'],
    registers,
  })
  const requestsLeft = new Gauge({
    name: 'spidra_sync_worker_requests_left',
    help: 'Requests left in the rate limit window of the address of the worker, by the last answer of the API or by its own count.',
    labelNames: ['worker'],
    registers,
  })
  const waiting = new Gauge({
    name: 'spidra_sync_queue_waiting_runs',
    help: 'Runs that are due and not taken by a worker.',
    registers,
  })
  const oldest = new Gauge({
    name: 'spidra_sync_queue_oldest_wait_seconds',
    help: 'Time since the oldest waiting run became due; 0 when none waits.',
    registers,
  })
  const dead = new Gauge({
    name: 'spidra_sync_queue_dead_runs',
    help: 'Runs that failed and are not retried, since the account was last complete.',
    labelNames: ['account'],
    registers: [ofAccounts],
  })

  return (fleet) => {
    workers.reset()
    requestsLeft.reset()
    dead.reset()
    for (const role of ROLES) workers.set({ role }, 0)
    for (const { worker, role, isAlive, budget } of fleet.workers) {
      if (!isAlive) continue
      workers.inc({ role })
      if (budget?.remaining != null) requestsLeft.set({ worker }, budget.remaining)
    }
    waiting.set(fleet.waitingRuns)
    oldest.set(fleet.oldestWaitSeconds)
    for (const { account, runs } of fleet.deadLetters) dead.set({ account }, runs)
  }
}

/** Creates the series of a worker about itself, which needs no database. */
function createPauseGauge(registry: Registry): (isPaused: boolean) => void {
  const paused = new Gauge({
    name: 'spidra_sync_worker_paused',
    help: '1 while this process takes no runs because its request budget is spent.',
    registers: [registry],
  })
  return (isPaused) => paused.set(isPaused ? 1 : 0)
}
