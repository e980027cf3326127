import type { Bench, Conditions, Measurement } from './measurement.js'
import { ours } from './subjects/ours.js'
import type { Subject } from './subjects/subject.js'

/** One thing that is measured: a name, its conditions, and what happens in it, step by step. */
export interface Workload {
  readonly name: string
  readonly conditions: Conditions
  /** Runs the subject as often as the workload asks; each step's name becomes a row of the report. */
  play(bench: Bench, subject: Subject): AsyncGenerator<{ readonly step: string; readonly measurement: Measurement }>
}

const UNLIMITED = { latencyMs: 0, concurrency: 1, limit: null }

/** An empty table, then the same list again, then with 1 % and with all of its jobs changed. */
export function loadAndReload(jobs: number, conditions: Partial<Conditions> = {}): Workload {
  return {
    name: `${jobs.toLocaleString('en')} jobs${conditions.latencyMs ? `, ${conditions.latencyMs} ms latency, ${conditions.concurrency} in flight` : ''}`,
    conditions: { jobs, ...UNLIMITED, ...conditions },
    async *play({ account, run }, subject) {
      yield { step: 'first load', measurement: await run(subject) }
      if (subject.loadsOnce) return
      yield { step: 'unchanged', measurement: await run(subject) }
      if (subject.name === OURS) yield { step: 'unchanged, incremental', measurement: await run(ours('incremental')) }
      await account.ask('change', { share: 0.01 })
      yield { step: '1 % changed', measurement: await run(subject) }
      await account.ask('change', { share: 1 })
      yield { step: 'all changed', measurement: await run(subject) }
    },
  }
}

const OURS = ours('full').name

/** A list that gains and loses jobs between any two requests; it stands still once the run has ended. */
export function underChurn(jobs: number): Workload {
  return {
    name: `${jobs.toLocaleString('en')} jobs under churn`,
    conditions: { jobs, ...UNLIMITED },
    async *play({ account, run }, subject) {
      await account.ask('churn', true)
      yield { step: 'first load', measurement: await run(subject) }
      yield { step: 'second run', measurement: await run(subject) }
    },
  }
}

/** 300 requests in a window, which is made short so that one can wait for it. */
export function limited(jobs: number, windowMs: number): Workload {
  return {
    name: `${jobs.toLocaleString('en')} jobs, 300 requests in ${windowMs / 1000} s`,
    conditions: { jobs, ...UNLIMITED, limit: { requests: 300, windowMs } },
    async *play({ run }, subject) {
      yield { step: 'first load', measurement: await run(subject) }
    },
  }
}

/** Killed (-9) when half of the pages were asked for, and run again. */
export function interrupted(jobs: number): Workload {
  return {
    name: `${jobs.toLocaleString('en')} jobs, killed at half`,
    conditions: { jobs, ...UNLIMITED },
    async *play({ account, run }, subject) {
      const half = jobs / 100
      yield {
        step: 'killed',
        measurement: await run(subject, async () => (await account.ask('requests', null)) >= half),
      }
      yield { step: 'run again', measurement: await run(subject) }
    },
  }
}
