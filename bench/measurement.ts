import { type BenchAccount, startAccount, type Truth } from './account.js'
import type { BenchDatabase, BenchServer } from './postgres.js'
import { type Command, measure } from './process-usage.js'
import type { Subject, Target } from './subjects/subject.js'

/** One run of a subject, measured from outside its process. */
export interface Measurement {
  readonly seconds: number
  /** From its start to its first request. */
  readonly startUpMs: number | null
  readonly clientCpuSeconds: number | null
  readonly serverCpuSeconds: number | null
  readonly peakRssBytes: number | null
  readonly requests: number
  readonly walBytes: number
  /** The part of `walBytes` for the subject's table and its indexes; null: unknown. */
  readonly tableWalBytes: number | null
  readonly deadTuples: number
  readonly code: number | null
  /** Null: the subject stores nothing. */
  readonly truth: Truth | null
  /** The end of its output, for the report of a failure. */
  readonly output: string
}

/** The conditions under which a subject is measured. */
export interface Conditions {
  readonly jobs: number
  readonly latencyMs: number
  readonly concurrency: number
  /** Requests allowed in a window of `windowMs`; null: no limit. */
  readonly limit: { readonly requests: number; readonly windowMs: number } | null
}

/** A subject with its account and its database, to be run once or more. */
export interface Bench extends AsyncDisposable {
  readonly account: BenchAccount
  /** Runs the subject once. `isIncremental`: its incremental run if it has one; `killAfter`: kills it after that many requests. */
  run(how?: { readonly isIncremental?: boolean; readonly killAfter?: number }): Promise<Measurement>
}

let made = 0

/** Creates an account and an empty database for the subject. */
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
    speed: 1,
    isRemedied: false,
  }
  await subject.setUp(database, target)
  return {
    account,
    run({ isIncremental = false, killAfter } = {}) {
      const command = (isIncremental ? subject.incremental?.(target) : null) ?? subject.command(target)
      return runOnce({ server, subject, account, database, command, killAfter: killAfter ?? null })
    },
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
  readonly command: Command
  readonly killAfter: number | null
}): Promise<Measurement> {
  const { server, subject, account, database, command, killAfter } = options
  // Writes what an earlier run left in memory, so that it does not count as this one's.
  await database.sql('VACUUM (ANALYZE)')
  await database.sql('CHECKPOINT')
  await account.ask('recount', null)
  const mark = await server.wal.mark()
  const cpuBefore = server.cpuSeconds()
  const hasAsked = async () => (await account.ask('counted', null)).requests >= (killAfter ?? 0)
  const usage = await measure(command, killAfter === null ? undefined : hasAsked)
  const cpu = server.cpuSeconds()
  const wal = await server.wal.since(mark, database, subject.table)
  const { requests, firstAt } = await account.ask('counted', null)
  const truth =
    subject.truthSql === null
      ? null
      : await account.ask('compare', { databaseUrl: database.url, sql: subject.truthSql }).catch(() => null)
  return {
    seconds: usage.seconds,
    startUpMs: firstAt === null ? null : firstAt - usage.startedAt,
    clientCpuSeconds: usage.cpuSeconds,
    serverCpuSeconds: cpu === null || cpuBefore === null ? null : cpu - cpuBefore,
    peakRssBytes: usage.peakRssBytes,
    requests,
    walBytes: wal.all,
    tableWalBytes: wal.table,
    deadTuples: await database.deadTuples(),
    code: usage.code,
    truth,
    output: usage.output,
  }
}
