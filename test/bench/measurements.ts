import type { FreshnessRow, FreshnessWorkload } from '../../bench/freshness/freshness.js'
import type { Measurement } from '../../bench/measurement.js'
import type { Row } from '../../bench/run.js'
import type { StandingRow } from '../../bench/standing-still.js'
import { FIRST } from '../../bench/workloads.js'

/** A successful run of one second, changed by `given`. */
export function measurement(given: Partial<Measurement> = {}): Measurement {
  return {
    seconds: 1,
    startUpMs: 300,
    clientCpuSeconds: 1,
    serverCpuSeconds: 1,
    peakRssBytes: 200e6,
    requests: 1,
    walBytes: 1000,
    tableWalBytes: 0,
    deadTuples: 0,
    code: 0,
    truth: { listed: 1000, missing: 0, stale: 0, extra: 0 },
    output: '',
    ...given,
  }
}

/** Measurements of a first load by spidra-sync, changed by `given`. */
export function row(given: Partial<Row>, ...measurements: Partial<Measurement>[]): Row {
  return {
    workload: 'a workload',
    kind: 'load',
    jobs: 100_000,
    concurrency: 1,
    step: FIRST,
    subject: 'ours',
    role: 'ours',
    ...given,
    measurements: measurements.map(measurement),
  }
}

/** What spidra-sync does by its default schedule, changed by `given`. */
export function freshnessRow(workload: Partial<FreshnessWorkload>, given: Partial<FreshnessRow> = {}): FreshnessRow {
  return {
    workload: { name: 'fresh', jobs: 20_000, speed: 60, arrivals: 10, isShared: false, hours: 6, ...workload },
    subject: 'ours',
    role: 'ours',
    remedy: null,
    loadMinutes: 45,
    ages: {
      samples: 360,
      listed: 23_600,
      all: { median: 0, p99: 0 },
      open: { median: 2, p99: 5 },
      worst: { median: 5, most: 7.5 },
    },
    requestsADay: 1_500,
    refusedADay: 0,
    runs: 75,
    failedRuns: 0,
    failure: null,
    truth: { listed: 23_600, missing: 0, stale: 0, extra: 0 },
    settledMinutes: 12,
    ...given,
  }
}

/** A day of the service without changes, changed by `given`. */
export function standingRow(given: Partial<StandingRow>): StandingRow {
  return {
    workload: { name: 'still', jobs: 20_000, ticks: 288, speed: 288, measuredRuns: 6 },
    subject: 'ours',
    role: 'ours',
    runs: 289,
    failedRuns: 0,
    clientCpuSeconds: 12.5,
    serverCpuSeconds: 4,
    walBytes: 14e6,
    requests: 690,
    ...given,
  }
}
