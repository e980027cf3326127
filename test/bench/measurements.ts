import type { Measurement } from '../../bench/measurement.js'
import type { Row } from '../../bench/run.js'
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
