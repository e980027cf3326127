import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

const REQUEST_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
/** Up to half a day: a full pass over a large account waits for many windows of the rate limit. */
const RUN_SECONDS = [0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400, 43_200]

/** Every series that the worker keeps by itself, registered on `registry`. */
export function createInstruments(registry: Registry) {
  const registers = [registry]
  return {
    runs: new Counter({
      name: 'spidra_sync_runs_total',
      help: 'Runs by mode and how they ended.',
      labelNames: ['account', 'mode', 'status'],
      registers,
    }),
    runDuration: new Histogram({
      name: 'spidra_sync_run_duration_seconds',
      help: 'Duration of runs, waiting included; skipped runs are left out.',
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
      help: 'Jobs by what the merge did with them; rejected are items that could not be stored.',
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
      help: 'When the table was last proved to hold what the API lists, as a Unix time; 0 before the first time.',
      labelNames: ['account'],
      registers,
    }),
    rereadSince: new Gauge({
      name: 'spidra_sync_reread_since_timestamp_seconds',
      help: 'Every listed job has been read again since then, as a Unix time; 0 before the first whole pass.',
      labelNames: ['account'],
      registers,
    }),
    listed: new Gauge({
      name: 'spidra_sync_listed_jobs',
      help: 'Jobs that the API listed at the last verdict; absent before the first.',
      labelNames: ['account'],
      registers,
    }),
    stored: new Gauge({
      name: 'spidra_sync_stored_jobs',
      help: 'Listed items that were stored as jobs, or else kept in quarantine, at the last verdict; absent before the first.',
      labelNames: ['account'],
      registers,
    }),
    openRejections: new Gauge({
      name: 'spidra_sync_open_rejections',
      help: 'Listed items that are in quarantine, since they could not be stored as they are.',
      labelNames: ['account'],
      registers,
    }),
    requests: new Counter({
      name: 'spidra_sync_requests_total',
      help: 'HTTP requests to the API by outcome, retries among them.',
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
      help: 'Duration of HTTP requests to the API, waiting for the rate limit left out.',
      labelNames: ['account'],
      buckets: REQUEST_SECONDS,
      registers,
    }),
    build: new Gauge({
      name: 'spidra_sync_build_info',
      help: 'Always 1; the version is in the label.',
      labelNames: ['version'],
      registers,
    }),
  }
}
