import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { platform } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Account } from '../accounts.js'
import { ConfigError } from '../config-error.js'
import { openDatabase } from '../db/client.js'
import { dropSchemas } from '../db/drop-schemas.js'
import { openEmbeddedPostgres } from '../db/embedded-postgres.js'
import { migrate } from '../db/migrate.js'
import { type FleetReport, readFleet, readProgress } from '../report/fleet.js'
import { toFleetText } from '../report/fleet-text.js'
import { type Simulator, startSimulator } from '../simulator/server.js'
import { type CommandContext, EXIT_CODES } from './command.js'
import { startFleet } from './fleet.js'
import type { OpenDatabase } from './open-database.js'
import { fixedAccounts } from './reloading.js'

/** Apart from the real database and from the other demo. */
const DIRECTORY = join('.spidra-sync', 'demo-fleet')

/** Small windows, so that one sees them being spent and renewed. */
const SIMULATED = { jobs: 1_500, arrivalsPerMinute: 6, speed: 10, latencyMs: 25 } as const
const RATE_LIMIT = { limit: 100, windowMs: 10_000 } as const

/** A worker may take so long to end, in milliseconds. */
const END_MS = 5_000

/** Between two lines of progress, in milliseconds. */
const TELL_EVERY_MS = 5_000

export interface DemoFleetFlags {
  readonly accounts: number
  /** Processes; left out: three, where there are several accounts. */
  readonly workers?: number
  /** End when every account has been complete. */
  readonly once: boolean
}

/**
 * Starts this program again, with these arguments and nothing but these variables, in a folder of its own, so that no
 * `.env` is read. It stops when this process is gone.
 */
export type StartSelf = (args: readonly string[], env: Readonly<Record<string, string>>, cwd: string) => ChildProcess

/**
 * `spidra-sync demo --accounts N --workers M`: a fleet of real processes on this machine. This process is the simulator,
 * the scheduler and the dashboard; each worker is a process of its own, on Linux at an address of its own.
 */
export async function runDemoFleet(
  context: CommandContext,
  { workers: count = 3, ...flags }: DemoFleetFlags,
  startSelf: StartSelf,
): Promise<number> {
  const { log, signal, stdout } = context
  const directory = join(context.workingDirectory, DIRECTORY)
  const embedded = await openEmbeddedPostgres({ directory, log, signal })
  const db = openDatabase(embedded.url)
  const workers: ChildProcess[] = []
  try {
    await dropSchemas(embedded.url)
    await db.$executeRaw`DROP SCHEMA IF EXISTS spidra_queue CASCADE`
    await migrate(embedded.url, { log, signal })
    await using simulator = await startSimulator({ ...SIMULATED, accounts: flags.accounts, rateLimit: RATE_LIMIT })
    const accounts = toAccounts(simulator)
    const file = join(directory, 'accounts.json')
    const entries = accounts.map(({ name, apiKey }) => ({ name, apiKey }))
    await writeFile(file, `${JSON.stringify(entries, null, 2)}\n`, { mode: 0o600 })
    const config = { ...context.config, schedule: { ...context.config.schedule, onStart: true } }
    await using fleet = await startScheduling(
      { ...context, config, accounts },
      { db, databaseUrl: embedded.url, close: async () => {} },
    )
    for (let number = 1; number <= count; number += 1) {
      const env = workerEnvironment(number, { file, simulator, url: embedded.url })
      workers.push(startSelf(['start', '--role', 'worker'], env, directory))
    }
    stdout.write(greeting(flags.accounts, count, fleet.http?.url ?? null))
    await tellUntil(context, db, flags, workers)
    stdout.write('\nStopping.\n')
    return EXIT_CODES.complete
  } finally {
    await Promise.all(workers.map(end))
    await db.$disconnect()
    await embedded.close()
  }
}

function toAccounts({ accounts, url }: Simulator): Account[] {
  return accounts.map(({ number, key }) => ({
    ...{ name: `account-${String(number).padStart(2, '0')}`, apiKey: key, apiUrl: url, keyOrigin: 'the demo' },
    ...{ pagesPerRun: 20, schedule: '*/20 * * * * *' },
  }))
}

/** The scheduler; where the usual port is taken, on any other. */
async function startScheduling(context: CommandContext, database: OpenDatabase) {
  try {
    return await startFleet(context, database, fixedAccounts(context.accounts), 'scheduler')
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const { config } = context
    const onAnyPort = { ...context, config: { ...config, http: { ...config.http, port: 0 } } }
    return startFleet(onAnyPort, database, fixedAccounts(context.accounts), 'scheduler')
  }
}

/** Nothing of the surroundings: a real key or database must never meet the demo. */
function workerEnvironment(
  number: number,
  { file, simulator, url }: { readonly file: string; readonly simulator: Simulator; readonly url: string },
): Readonly<Record<string, string>> {
  return {
    ...{ DATABASE_URL: url, SPIDRA_API_URL: simulator.url, SPIDRA_ACCOUNTS_FILE: file, HTTP_PORT: 'off' },
    ...{ LOG_LEVEL: 'error', RATE_LIMIT_WINDOW_SECONDS: String(RATE_LIMIT.windowMs / 1000) },
    // Elsewhere only 127.0.0.1 is this machine's, and the workers share its budget.
    ...(platform() === 'linux' ? { SOURCE_ADDRESS: `127.0.0.${number + 1}` } : {}),
  }
}

/** A line every few seconds, until the signal aborts, or, with `--once`, until every account has been complete. */
async function tellUntil(
  { signal, stdout }: CommandContext,
  db: ReturnType<typeof openDatabase>,
  { accounts, once: endsAtOnce }: DemoFleetFlags,
  workers: readonly ChildProcess[],
): Promise<void> {
  for (let isWhole = false; !signal.aborted; ) {
    const complete = (await readProgress(db)).filter(({ lastCompleteAt }) => lastCompleteAt !== null).length
    const fleet = await readFleet(db)
    if (fleet !== null) stdout.write(toLine(fleet, complete, accounts))
    if (complete === accounts && !isWhole && fleet !== null) {
      isWhole = true
      stdout.write(`\nEvery account is complete.\n\n${toFleetText(fleet)}\n`)
      if (endsAtOnce) return
    }
    if (workers.every(hasEnded)) throw new Error('Every worker of the demo has ended; what they said stands above.')
    await sleep(TELL_EVERY_MS, undefined, { signal }).catch(() => {})
  }
}

function toLine({ workers, activeRuns, waitingRuns }: FleetReport, complete: number, accounts: number): string {
  const left = workers.flatMap(({ budget }) => budget?.remaining ?? []).join(', ')
  const time = new Date().toISOString().slice(11, 19)
  const budgets = left === '' ? '' : `; requests left: ${left}`
  return `${time} ${complete} of ${accounts} complete; ${activeRuns} runs under way, ${waitingRuns} waiting${budgets}\n`
}

function greeting(accounts: number, workers: number, httpUrl: string | null): string {
  const dashboard = httpUrl === null ? '' : `\nThe dashboard: ${httpUrl}/  As JSON: ${httpUrl}/api/status\n`
  return `${accounts} simulated accounts, ${workers} workers, each a process of its own, and one Postgres.
An address has ${RATE_LIMIT.limit} requests in ${RATE_LIMIT.windowMs / 1000} s. Kill a worker (kill -9), or stop it:
the others go on.
${dashboard}
`
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

/** In order, or, where it was stopped and hears nothing, by force. */
async function end(worker: ChildProcess): Promise<void> {
  if (hasEnded(worker)) return
  const ended = once(worker, 'exit')
  worker.kill('SIGTERM')
  const force = setTimeout(() => worker.kill('SIGKILL'), END_MS)
  await ended
  clearTimeout(force)
}
