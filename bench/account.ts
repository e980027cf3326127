import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { RateLimitOptions } from '../src/simulator/rate-limiter.js'
import type { Ages, Watched, WatchOptions } from './freshness/watch.js'

/** How a table differs from the list: missing rows, rows with other fields (stale), and rows no longer listed (extra). */
export interface Truth {
  readonly listed: number
  readonly missing: number
  readonly stale: number
  readonly extra: number
}

/** The calls that the simulator's process answers: argument and result of each. */
export interface AccountCalls {
  start: [AccountOptions, { url: string; key: string }]
  /** Resets the count of requests. */
  recount: [null, null]
  /** Requests since `recount`, how many of them the rate limit refused, and when the first one came. */
  counted: [null, Counted]
  /** Adds jobs at the head. */
  arrive: [{ jobs: number }, null]
  /** Changes a share of the jobs, and returns their number. */
  change: [{ share: number }, number]
  /** Changes the list before each of the next `requests` answers. */
  churn: [{ requests: number }, null]
  /** `sql` selects `uuid` and `fields`: status, total, completed and failed count, separated by spaces. */
  compare: [{ databaseUrl: string; sql: string }, Truth]
  /** Begins to compare a table with the account, into which jobs arrive from now on. */
  watch: [Omit<WatchOptions, 'speed'>, null]
  watched: [null, Watched]
  /** Ends the arrivals, and returns the ages up to now. */
  endSpan: [null, Ages]
}

export interface AccountOptions {
  readonly jobs: number
  readonly latencyMs: number
  readonly rateLimit: RateLimitOptions | 'off'
  /** Jobs progress this much faster than in reality. Default 1. */
  readonly speed?: number
  /** Others use up half of each window of the scaled limit. Default false. */
  readonly isShared?: boolean
}

export interface Counted {
  readonly requests: number
  readonly refused: number
  /** Epoch ms with fractions; null: no request came. */
  readonly firstAt: number | null
}

/** A simulated account in its own process. */
export interface BenchAccount extends AsyncDisposable {
  readonly url: string
  readonly key: string
  ask<Name extends keyof AccountCalls>(name: Name, argument: AccountCalls[Name][0]): Promise<AccountCalls[Name][1]>
}

/** Starts the account. Equal options give equal jobs. */
export async function startAccount(options: AccountOptions): Promise<BenchAccount> {
  const child = fork(fileURLToPath(new URL('account-process.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>()
  child.on('message', ({ id, result, error }: { id: number; result: never; error?: string }) => {
    const call = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) call?.resolve(result)
    else call?.reject(new Error(error))
  })
  child.on('exit', (code) => {
    for (const { reject } of waiting.values()) reject(new Error(`the simulator ended with ${code}`))
  })
  let last = 0
  const ask: BenchAccount['ask'] = (name, argument) =>
    new Promise((resolve, reject) => {
      last += 1
      waiting.set(last, { resolve, reject })
      child.send({ id: last, name, argument })
    })
  const { url, key } = await ask('start', options)
  return {
    url,
    key,
    ask,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
    },
  }
}
