import type { BenchAccount } from './account.js'
import type { Conditions } from './measurement.js'

/** What a workload is about; the report's headline and targets find their figures by it. */
export type Kind = 'load' | 'latency' | 'churn' | 'limit' | 'kill'

export interface Step {
  readonly name: string
  /** What happens to the account before it. */
  readonly before?: (account: BenchAccount) => Promise<unknown>
  /** The quicker run between full ones; played by those that have one. */
  readonly isIncremental?: true
  /** Killed (-9) after so many requests. */
  readonly killAfter?: number
}

/** One thing that is measured: its conditions, and what happens in it, step by step, on one account and database. */
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

/** An empty table, the same list again, then with new jobs, with 1 % and with all of its jobs changed. */
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

/** Every answer takes its time. */
export function withLatency(jobs: number, latencyMs: number, concurrency: number): Workload {
  return {
    name: `${show(jobs)} jobs, ${latencyMs} ms latency, ${concurrency} in flight`,
    kind: 'latency',
    conditions: { ...UNLIMITED, jobs, latencyMs, concurrency },
    steps: [{ name: FIRST }, { name: UNCHANGED }],
  }
}

/**
 * A list that gains and loses jobs between any two requests, for as many requests as reading it once takes. Then it
 * stands still, so that a table can be compared with it, and so that one that reads on can end.
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

/** 300 requests in a window, which is made short so that one can wait for it. */
export function limited(jobs: number, windowMs: number): Workload {
  return {
    name: `${show(jobs)} jobs, 300 requests in ${windowMs / 1000} s`,
    kind: 'limit',
    conditions: { ...UNLIMITED, jobs, limit: { requests: 300, windowMs } },
    steps: [{ name: FIRST }],
  }
}

/** Killed (-9) when half of the pages were asked for, and run again. */
export function interrupted(jobs: number): Workload {
  return {
    name: `${show(jobs)} jobs, killed at half`,
    kind: 'kill',
    conditions: { ...UNLIMITED, jobs },
    steps: [{ name: KILLED, killAfter: pagesOf(jobs) / 2 }, { name: AGAIN }],
  }
}

/** Pages of the list; the API gives 50 jobs at most. */
export function pagesOf(jobs: number): number {
  return Math.ceil(jobs / 50)
}

function show(jobs: number): string {
  return jobs.toLocaleString('en')
}
