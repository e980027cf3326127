import { type BenchAccount, startAccount, type Truth } from './account.js'
import type { BenchDatabase, BenchServer } from './postgres.js'
import { measure } from './process-usage.js'
import type { Subject, Target } from './subjects/subject.js'

/** One run of a subject, as seen from outside. */
export interface Measurement {
  readonly seconds: number
  readonly clientCpuSeconds: number | null
  readonly serverCpuSeconds: number | null
  readonly peakRssBytes: number | null
  readonly requests: number
  readonly walBytes: number
  readonly deadTuples: number
  readonly code: number | null
  /** Null: the subject stores nothing. */
  readonly truth: Truth | null
  /** The end of what it said; for the report of a failure. */
  readonly output: string
}

/** What a subject is put through. */
export interface Conditions {
  readonly jobs: number
  readonly latencyMs: number
  readonly concurrency: number
  /** Requests of a window of `windowMs`; null: no limit. */
  readonly limit: { readonly requests: number; readonly windowMs: number } | null
}

/** A subject with its account and its database, ready to be run again and again. */
export interface Bench extends AsyncDisposable {
  readonly account: BenchAccount
  /** Runs the subject once; killed where `until` says so. */
  run(subject: Subject, until?: () => Promise<boolean>): Promise<Measurement>
}

let made = 0

/** Makes an account and an empty database for the subject. */
export async function openBench(server: BenchServer, subject: Subject, conditions: Conditions): Promise<Bench> {
  const { jobs, latencyMs, concurrency, limit } = conditions
  const rateLimit = limit === null ? 'off' : { limit: limit.requests, windowMs: limit.windowMs }
  const account = await startAccount({ jobs, latencyMs, rateLimit })
  made += 1
  const database = await server.createDatabase(`bench_${process.pid}_${made}`)
  const target: Target = {
    apiUrl: account.url,
    apiKey: account.key,
    databaseUrl: database.url,
    concurrency,
    isLimited: limit !== null,
  }
  await subject.setUp(database, target)
  return {
    account,
    run: (other, until) => runOnce({ server, subject: other, account, database, target, ...(until ? { until } : {}) }),
    async [Symbol.asyncDispose]() {
      await database.drop()
      await account[Symbol.asyncDispose]()
    },
  }
}

async function runOnce(options: {
  readonly server: BenchServer
  readonly subject: Subject
  readonly account: BenchAccount
  readonly database: BenchDatabase
  readonly target: Target
  readonly until?: () => Promise<boolean>
}): Promise<Measurement> {
  const { server, subject, account, database, target, until } = options
  // What an earlier run left to be written is not this one's.
  await database.sql('VACUUM (ANALYZE)')
  await database.sql('CHECKPOINT')
  const before = {
    requests: await account.ask('requests', null),
    wal: await database.walBytes(),
    cpu: server.cpuSeconds(),
  }
  const usage = await measure(subject.command(target), until)
  const cpu = server.cpuSeconds()
  const truth =
    subject.truthSql === null
      ? null
      : await account.ask('compare', { databaseUrl: database.url, sql: subject.truthSql }).catch(() => null)
  return {
    seconds: usage.seconds,
    clientCpuSeconds: usage.cpuSeconds,
    serverCpuSeconds: cpu === null || before.cpu === null ? null : cpu - before.cpu,
    peakRssBytes: usage.peakRssBytes,
    requests: (await account.ask('requests', null)) - before.requests,
    walBytes: (await database.walBytes()) - before.wal,
    deadTuples: await database.deadTuples(),
    code: usage.code,
    truth,
    output: usage.output,
  }
}
