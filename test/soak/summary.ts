import type { Simulator } from '../../src/simulator/server.js'
import type { Churn } from './churn.js'
import type { JudgedRun } from './judge.js'
import { quartersOf, type Vitals } from './vitals.js'

/** The result of a soak. */
export interface SoakResult {
  readonly minutes: number
  readonly seed: number
  /** Claims that did not hold, one sentence each. */
  readonly failures: readonly string[]
  /** Claims that did not hold after answers with a wrong total. */
  readonly excused: readonly string[]
  readonly runs: readonly JudgedRun[]
  readonly completeWithRejections: number
  /** Number of complete runs that were the first to start after a phase of faults. `failures` names the others. */
  readonly recoveries: number
  readonly requests: number
  /** Faulty answers by kind. `rate limit` counts the 429 of the simulator's own limit. */
  readonly faults: ReadonlyMap<string, number>
  readonly jobs: Readonly<Record<'listed' | 'stored' | 'removed' | 'quarantined', number>>
  readonly churn: Churn['counts']
  readonly healthChecks: number
  readonly outputBytes: number
  readonly samples: readonly Vitals[]
}

/** Formats the figures as a Markdown table. */
export function toSummaryTable(result: SoakResult): string {
  const { runs, faults, jobs, churn, samples, failures } = result
  const sum = (numbers: Iterable<number>) => [...numbers].reduce((all, number) => all + number, 0)
  const rows: readonly (readonly [string, string])[] = [
    ['duration, seed', `${result.minutes.toFixed(1)} min, ${result.seed}`],
    ['runs by status', tally(runs.map(({ status }) => status))],
    ['reasons', tally(runs.flatMap(({ reason }) => reason ?? []))],
    ['full, incremental', tally(runs.map(({ mode }) => mode))],
    ['requests, of them retries', `${count(result.requests)}, ${count(sum(runs.map(({ retries }) => retries)))}`],
    ['faulty answers', `${count(sum(faults.values()))}: ${pairs([...faults])}`],
    ['jobs', pairs(Object.entries(jobs))],
    ['what the list did', pairs(Object.entries(churn))],
    ['first runs after faults, all complete', count(result.recoveries)],
    ['complete with items in quarantine', count(result.completeWithRejections)],
    ['claims broken after a wrong total (A2 excludes those)', count(result.excused.length)],
    ['MB resident, by quarter (median)', quarters(samples, 'rssMb')],
    ['open files, by quarter (median)', quarters(samples, 'descriptors')],
    ['Postgres connections, by quarter (median)', quarters(samples, 'connections')],
    ['health checks, all 200', count(result.healthChecks)],
    ['output searched for secrets', `${(result.outputBytes / 2 ** 20).toFixed(1)} MB`],
    ['claims that did not hold', count(failures.length)],
  ]
  return ['| soak | |', '|---|---|', ...rows.map(([name, value]) => `| ${name} | ${value} |`), ''].join('\n')
}

/** Adds the faulty answers after request `counted` to the counts by kind. Returns the number of the last request. */
export function tallyFaults(requests: Simulator['requests'], counted: number, into: Map<string, number>): number {
  for (const { number, fault, status } of requests) {
    const kind = fault ?? (status === 429 ? 'rate limit' : null)
    if (number > counted && kind !== null) into.set(kind, (into.get(kind) ?? 0) + 1)
  }
  return requests.at(-1)?.number ?? counted
}

function quarters(samples: readonly Vitals[], what: keyof Vitals): string {
  const medians = quartersOf(samples, what).map((value) => (value === null ? '?' : value.toFixed(0)))
  return medians.every((value) => value === '?') ? 'not measured: no /proc here' : medians.join(', ')
}

function tally(words: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  return pairs([...counts])
}

function pairs(entries: readonly (readonly [string, number])[]): string {
  const sorted = [...entries].sort(([, one], [, other]) => other - one)
  return sorted.map(([name, number]) => `${name} ${count(number)}`).join(', ') || 'none'
}

function count(number: number): string {
  return number.toLocaleString('en')
}
