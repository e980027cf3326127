import type { ChildProcess } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { platform } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Account } from '../../config/accounts.js'
import { openDatabase } from '../../db/client.js'
import { openEmbeddedPostgres } from '../../db/embedded/postgres.js'
import { dropSchemas, migrate } from '../../db/migrate.js'
import { ensureReaderRole } from '../../db/reader-role.js'
import { startFleet } from '../../fleet/fleet.js'
import { fixedAccounts } from '../../fleet/reloading.js'
import { counted } from '../../logging/printable.js'
import { type FleetReport, readFleet, readProgress } from '../../report/fleet.js'
import { toFleetText } from '../../report/fleet-text.js'
import { type CommandContext, EXIT_CODES } from '../../service/context.js'
import { type Simulator, startSimulator } from '../../simulator/server.js'
import { type PortChoice, startOnFreePort } from './port.js'
import { openDemoState } from './setup.js'
import { howToAsk, READER_ROLE, readerUrl } from './text.js'
import { type DemoWorkers, othersGoOn, watchWorkers } from './workers.js'

/** Apart from the real database and from the other demo. */
const DIRECTORY = join('.spidra-sync', 'demo-fleet')

/** Small windows, so that one sees them being spent and renewed. */
const SIMULATED = { jobs: 1_500, arrivalsPerMinute: 6, speed: 10, latencyMs: 25 } as const
const RATE_LIMIT = { limit: 100, windowMs: 10_000 } as const

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
  { workers: count = 3, ...flags }: DemoFleetFlags & PortChoice,
  startSelf: StartSelf,
): Promise<number> {
  const { log, signal, stdout } = context
  const directory = join(context.workingDirectory, DIRECTORY)
  const embedded = await openEmbeddedPostgres({ directory, log, signal })
  const db = openDatabase(embedded.url)
  try {
    await dropSchemas(embedded.url)
    await db.$executeRaw`DROP SCHEMA IF EXISTS spidra_queue CASCADE`
    await migrate(embedded.url, { log, signal })
    // The account is always a new one; of the state only the password counts.
    const { readerPassword } = await openDemoState(join(directory, 'demo.json'), Date.now())
    await ensureReaderRole(embedded.url, READER_ROLE, readerPassword)
    await using simulator = await startSimulator({ ...SIMULATED, accounts: flags.accounts, rateLimit: RATE_LIMIT })
    const accounts = toAccounts(simulator)
    const file = join(directory, 'accounts.json')
    const entries = accounts.map(({ name, apiKey }) => ({ name, apiKey }))
    await writeFile(file, `${JSON.stringify(entries, null, 2)}\n`, { mode: 0o600 })
    const config = { ...context.config, schedule: { ...context.config.schedule, onStart: true } }
    const database = { db, databaseUrl: embedded.url, close: async () => {} }
    await using fleet = await startOnFreePort({ ...context, config, accounts }, flags, (free) =>
      startFleet(free, database, fixedAccounts(accounts), 'scheduler'),
    )
    const processes = Array.from({ length: count }, (_, index) => {
      const env = workerEnvironment(index + 1, { file, simulator, url: embedded.url })
      return startSelf(['start', '--role', 'worker'], env, directory)
    })
    await using workers = watchWorkers(processes, (line) => stdout.write(line))
    stdout.write(greeting(flags.accounts, count))
    stdout.write(`${howToAsk(readerUrl(embedded.url, readerPassword), fleet.http?.url ?? null)}\n`)
    await tellUntil(context, db, flags, workers)
    stdout.write('\nStopping.\n')
    return EXIT_CODES.complete
  } finally {
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
  workers: DemoWorkers,
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
    if (workers.left === 0) throw new Error('Every worker of the demo has ended; what they said stands above.')
    await sleep(TELL_EVERY_MS, undefined, { signal }).catch(() => {})
  }
}

function toLine({ workers, activeRuns, waitingRuns }: FleetReport, complete: number, accounts: number): string {
  const left = workers.flatMap(({ budget }) => budget?.remaining ?? []).join(', ')
  const time = new Date().toISOString().slice(11, 19)
  const budgets = left === '' ? '' : `; requests left: ${left}`
  const runs = counted(activeRuns, 'run')
  return `${time} ${complete} of ${accounts} complete; ${runs} under way, ${waitingRuns} waiting${budgets}\n`
}

function greeting(accounts: number, workers: number): string {
  const own = workers === 1 ? 'a process of its own' : 'each a process of its own'
  const invitation = workers === 1 ? '' : ` Kill a worker (kill -9), or stop it:\n${othersGoOn(workers - 1)}.`
  return `${counted(accounts, 'simulated account')}, ${counted(workers, 'worker')}, ${own}, and one Postgres.
An address has ${RATE_LIMIT.limit} requests in ${RATE_LIMIT.windowMs / 1000} s.${invitation}
`
}
