import type { BenchAccount } from './account.js'
import type { Conditions } from './measurement.js'

/** What a workload measures. The report's headline and targets find their figures by it. */
export type Kind = 'load' | 'latency' | 'churn' | 'limit' | 'kill'

export interface Step {
  readonly name: string
  /** Changes the account before the step. */
  readonly before?: (account: BenchAccount) => Promise<unknown>
  /** Plays the subject's incremental run; subjects without one leave the step out. */
  readonly isIncremental?: true
  /** Requests after which the subject is killed (-9). */
  readonly killAfter?: number
}

/** The conditions of a measurement, and its steps, which follow each other on one account and database. */
export interface Workload {
  readonly name: string
  readonly kind: Kind
  readonly conditions: Conditions
  readonly steps: readonly Step[]
}

export const FIRST = 'first load'
export const UNCHANGED = 'unchanged'
export const STEADY = 'unchanged, incremental'
export const ARRIVED = '0.1 % new (at least 10), incremental'
export const KILLED = 'killed'
export const AGAIN = 'run again'

const UNLIMITED = { latencyMs: 0, concurrency: 1, limit: null }

/** Loads an empty table, then reads the list unchanged, with new jobs, with 1 % of the jobs changed, and with all changed. */
export function load(jobs: number): Workload {
  const arriving = Math.max(10, Math.round(jobs / 1000))
  return {
    name: `${show(jobs)} jobs`,
    kind: 'load',
    conditions: { ...UNLIMITED, jobs },
    steps: [
      { name: FIRST },
      { name: UNCHANGED },
      { name: STEADY, isIncremental: true },
      { name: ARRIVED, isIncremental: true, before: (account) => account.ask('arrive', { jobs: arriving }) },
      { name: '1 % changed', before: (account) => account.ask('change', { share: 0.01 }) },
      { name: 'all changed', before: (account) => account.ask('change', { share: 1 }) },
    ],
  }
}

/** Loads a list whose every answer takes `latencyMs`. */
export function withLatency(jobs: number, latencyMs: number, concurrency: number): Workload {
  return {
    name: `${show(jobs)} jobs, ${latencyMs} ms latency, ${concurrency} in flight`,
    kind: 'latency',
    conditions: { ...UNLIMITED, jobs, latencyMs, concurrency },
    steps: [{ name: FIRST }, { name: UNCHANGED }],
  }
}

/**
 * Loads a list that gains and loses jobs between requests, for as many requests as one reading of the list takes. After
 * that the list does not change, so that a subject that reads until nothing is new can end, and the table can be compared.
 */
export function underChurn(jobs: number): Workload {
  const churn = (account: BenchAccount) => account.ask('churn', { requests: pagesOf(jobs) })
  return {
    name: `${show(jobs)} jobs under churn`,
    kind: 'churn',
    conditions: { ...UNLIMITED, jobs },
    steps: [
      { name: FIRST, before: churn },
      { name: 'second run', before: churn },
    ],
  }
}

/** Loads a list under a limit of 300 requests in a window, which is shorter than the real one. */
export function limited(jobs: number, windowMs: number): Workload {
  return {
    name: `${show(jobs)} jobs, 300 requests in ${windowMs / 1000} s`,
    kind: 'limit',
    conditions: { ...UNLIMITED, jobs, limit: { requests: 300, windowMs } },
    steps: [{ name: FIRST }],
  }
}

/** Kills the subject (-9) after half of the pages, and runs it again. */
export function interrupted(jobs: number): Workload {
  return {
    name: `${show(jobs)} jobs, killed at half`,
    kind: 'kill',
    conditions: { ...UNLIMITED, jobs },
    steps: [{ name: KILLED, killAfter: pagesOf(jobs) / 2 }, { name: AGAIN }],
  }
}

/** Pages of the list; the API returns at most 50 jobs on one. */
export function pagesOf(jobs: number): number {
  return Math.ceil(jobs / 50)
}

/** Formats a number of jobs. */
export function show(jobs: number): string {
  return jobs.toLocaleString('en')
}
