import { setTimeout as sleep } from 'node:timers/promises'
import { rateLimitAt } from '../test/lifetime/scaled-limit.js'
import { startAccount } from './account.js'
import { openBench } from './measurement.js'
import type { BenchServer } from './postgres.js'
import { cpuSecondsOf } from './process-usage.js'
import { startScaledService } from './scaled-service.js'
import type { Role, Subject } from './subjects/subject.js'

/** An account in which nothing changes, and a day of keeping up with it. */
export interface StandingStill {
  readonly name: string
  readonly jobs: number
  /** Runs of a day, one every five minutes. */
  readonly ticks: number
  /** The service lives a day this much faster. A schedule is no finer than a second, so at most 300. */
  readonly speed: number
  /** Runs of an alternative that are measured; a day's cost is computed from them. */
  readonly measuredRuns: number
}

/** What a day costs in which nothing changes. */
export interface StandingRow {
  readonly workload: StandingStill
  readonly subject: string
  readonly role: Role
  /** Runs that were measured. */
  readonly runs: number
  readonly failedRuns: number
  readonly clientCpuSeconds: number | null
  readonly serverCpuSeconds: number | null
  readonly walBytes: number
  readonly requests: number
}

const DAY_MS = 24 * 60 * 60_000
const EVERY_MINUTES = 5
/** Ticks after the first load that do not count: the service settles. */
const SETTLING_TICKS = 5
const LOADED_WITHIN_MS = 10 * 60_000

/** Measures a day of the service: its ticks and one full pass. */
export async function measureOwnDay(
  server: BenchServer,
  workload: StandingStill,
  subject: Subject,
): Promise<StandingRow> {
  const { jobs, speed } = workload
  const dayMs = DAY_MS / speed
  const tickMs = dayMs / workload.ticks
  await using account = await startAccount({ jobs, latencyMs: 0, rateLimit: rateLimitAt(speed, 'seconds'), speed })
  const database = await server.createDatabase(`still_${process.pid}`)
  const api = { apiUrl: account.url, apiKey: account.key }
  const target = { ...api, databaseUrl: database.url, concurrency: 1, isLimited: true, speed, isRemedied: false }
  await subject.setUp(database, target)
  let crashes = 0
  const startedAt = Date.now()
  // After the first load, which takes its windows, and before the day is over.
  const fullAt = new Date(startedAt + dayMs * 0.75)
  await using seat = await startScaledService(target, { everyMinutes: EVERY_MINUTES, fullAt }, () => {
    crashes += 1
  })
  const counts = () =>
    database.sql<{ complete: boolean; runs: number }>(
      `SELECT EXISTS (SELECT FROM spidra.sync_state WHERE last_complete_at IS NOT NULL) AS complete,
         (SELECT count(*)::integer FROM spidra.sync_runs) AS runs`,
    )
  while (!(await counts())[0]?.complete) {
    if (Date.now() > startedAt + LOADED_WITHIN_MS || crashes > 0) throw new Error('the service did not load the list')
    await sleep(tickMs)
  }
  await sleep(SETTLING_TICKS * tickMs)

  await database.sql('VACUUM (ANALYZE)')
  await database.sql('CHECKPOINT')
  await account.ask('recount', null)
  const before = { cpu: cpuSecondsOf(seat.pid ?? 0), server: server.cpuSeconds(), runs: (await counts())[0]?.runs ?? 0 }
  const mark = await server.wal.mark()
  // A server checkpoints every five minutes by default, after which each page that changes is written to the log as a whole.
  const checkpoints = setInterval(() => void database.sql('CHECKPOINT'), tickMs)
  await sleep(dayMs)
  clearInterval(checkpoints)
  const [cpu, serverCpu] = [cpuSecondsOf(seat.pid ?? 0), server.cpuSeconds()]
  const wal = await server.wal.since(mark, database, null)
  const { requests } = await account.ask('counted', null)
  const runs = ((await counts())[0]?.runs ?? 0) - before.runs
  const row = {
    workload,
    ...{ subject: `${subject.name}, a day of the service`, role: subject.role, runs, failedRuns: crashes },
    clientCpuSeconds: differenceOf(cpu, before.cpu),
    serverCpuSeconds: differenceOf(serverCpu, before.server),
    ...{ walBytes: wal.all, requests },
  }
  await seat[Symbol.asyncDispose]()
  await database.drop()
  return row
}

/** Measures some runs of an alternative on a list that it has loaded, and multiplies them by the ticks of a day. */
export async function measureOtherDay(
  server: BenchServer,
  workload: StandingStill,
  subject: Subject,
): Promise<StandingRow> {
  const { jobs, ticks, measuredRuns } = workload
  await using bench = await openBench(server, subject, { jobs, latencyMs: 0, concurrency: 1, limit: null })
  const first = await bench.run()
  const measured = []
  for (let run = 0; run < measuredRuns && first.code === 0; run += 1) measured.push(await bench.run())
  const well = measured.filter(({ code }) => code === 0)
  const ofDay = (read: (one: (typeof well)[number]) => number | null) => {
    const values = well.map(read)
    const known = values.filter((value) => value !== null)
    return known.length === 0 ? null : (known.reduce((sum, value) => sum + value, 0) / known.length) * ticks
  }
  return {
    workload,
    ...{ subject: subject.name, role: subject.role, runs: well.length, failedRuns: measured.length - well.length },
    clientCpuSeconds: ofDay(({ clientCpuSeconds }) => clientCpuSeconds),
    serverCpuSeconds: ofDay(({ serverCpuSeconds }) => serverCpuSeconds),
    walBytes: ofDay(({ walBytes }) => walBytes) ?? 0,
    requests: ofDay(({ requests }) => requests) ?? 0,
  }
}

function differenceOf(after: number | null, before: number | null): number | null {
  return after === null || before === null ? null : after - before
}
