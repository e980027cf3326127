import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
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
import { counted, formatDuration } from '../../logging/printable.js'
import { type FleetReport, readFleet } from '../../report/fleet.js'
import { toFleetText } from '../../report/fleet-text.js'
import { readProgress } from '../../report/status.js'
import { type CommandContext, EXIT_CODES } from '../../service/context.js'
import { fixedAccounts } from '../../service/live-accounts.js'
import { type Simulator, startSimulator } from '../../simulator/server.js'
import {
  ACCOUNTS_FILE,
  demoStateFile,
  howToQuery,
  openDemoState,
  type PortChoice,
  READER_ROLE,
  readerUrl,
  saveDemoApi,
  startOnFreePort,
} from './setup.js'

/** Small windows, so that one can watch them being used up and renewed. */
const SIMULATED = { jobs: 1_500, arrivalsPerMinute: 6, speed: 10, latencyMs: 25 } as const
const RATE_LIMIT = { limit: 100, windowMs: 10_000 } as const

/** Time between two lines of progress, in milliseconds. */
const PROGRESS_EVERY_MS = 5_000

export interface DemoFleetFlags {
  readonly accounts: number
  /** Worker processes. Default 3. */
  readonly workers?: number
  /** Whether to end once every account has been complete. */
  readonly once: boolean
}

/**
 * Starts this program as a child process with these arguments, only these variables, and the working directory `cwd`, which
 * has no `.env`. The child stops when this process is gone.
 */
type StartSelf = (args: readonly string[], env: Readonly<Record<string, string>>, cwd: string) => ChildProcess

/**
 * `spidra-sync demo --accounts N --workers M`: runs a fleet of real processes on this machine. This process is the simulator,
 * the scheduler and the dashboard. Each worker is a child process; on Linux, each has its own address. Returns the exit code.
 */
export async function runDemoFleet(
  context: CommandContext,
  { workers: count = 3, ...flags }: DemoFleetFlags & PortChoice,
  startSelf: StartSelf,
): Promise<number> {
  const { log, signal, stdout, embeddedDirectory: directory } = context
  const embedded = await openEmbeddedPostgres({ directory, log, signal })
  const db = openDatabase(embedded.url)
  try {
    await dropSchemas(embedded.url)
    await db.$executeRaw`DROP SCHEMA IF EXISTS spidra_queue CASCADE`
    await migrate(embedded.url, { log, signal })
    // The accounts are always new. Only the password of the state is used.
    const { readerPassword } = await openDemoState(demoStateFile(directory), Date.now())
    await ensureReaderRole(embedded.url, READER_ROLE, readerPassword)
    await using simulator = await startSimulator({ ...SIMULATED, accounts: flags.accounts, rateLimit: RATE_LIMIT })
    await saveDemoApi(demoStateFile(directory), simulator.url)
    const accounts = toAccounts(simulator)
    const file = join(directory, ACCOUNTS_FILE)
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
    stdout.write(`${howToQuery(context.self, readerUrl(embedded.url, readerPassword), fleet.http?.url ?? null)}\n`)
    await showProgress(context, db, flags, workers)
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
    ...{ pagesPerRun: 20, results: null, schedule: '*/20 * * * * *' },
  }))
}

/** The whole environment of a worker. Nothing is inherited, so that the demo never uses a real key or database. */
function workerEnvironment(
  number: number,
  { file, simulator, url }: { readonly file: string; readonly simulator: Simulator; readonly url: string },
): Readonly<Record<string, string>> {
  return {
    ...{ DATABASE_URL: url, SPIDRA_API_URL: simulator.url, SPIDRA_ACCOUNTS_FILE: file, HTTP_PORT: 'off' },
    ...{ LOG_LEVEL: 'error', RATE_LIMIT_WINDOW_SECONDS: String(RATE_LIMIT.windowMs / 1000) },
    // On other systems only 127.0.0.1 is local, so all workers share its budget.
    ...(platform() === 'linux' ? { SOURCE_ADDRESS: `127.0.0.${number + 1}` } : {}),
  }
}

/** Writes a line of progress every few seconds until the signal aborts or, with `--once`, every account has been complete. */
async function showProgress(
  { signal, stdout }: CommandContext,
  db: ReturnType<typeof openDatabase>,
  { accounts, once: endsAtOnce }: DemoFleetFlags,
  workers: DemoWorkers,
): Promise<void> {
  for (let isComplete = false; !signal.aborted; ) {
    const complete = (await readProgress(db)).filter(({ lastCompleteAt }) => lastCompleteAt !== null).length
    const fleet = await readFleet(db)
    if (fleet !== null) stdout.write(toProgressLine(fleet, complete, accounts))
    if (complete === accounts && !isComplete && fleet !== null) {
      isComplete = true
      stdout.write(`\nEvery account is complete.\n\n${toFleetText(fleet)}\n`)
      if (endsAtOnce) return
    }
    if (workers.left === 0) throw new Error('Every worker of the demo has ended. Their output is above.')
    await sleep(PROGRESS_EVERY_MS, undefined, { signal }).catch(() => {})
  }
}

function toProgressLine({ workers, activeRuns, waitingRuns }: FleetReport, complete: number, accounts: number): string {
  const left = workers.flatMap(({ budget }) => budget?.remaining ?? []).join(', ')
  const time = new Date().toISOString().slice(11, 19)
  const budgets = left === '' ? '' : `; requests left: ${left}`
  const runs = counted(activeRuns, 'run')
  return `${time} ${complete} of ${accounts} complete; ${runs} under way, ${waitingRuns} waiting${budgets}\n`
}

function greeting(accounts: number, workers: number): string {
  const own = workers === 1 ? 'a process of its own' : 'each a process of its own'
  const invitation = workers === 1 ? '' : ` Kill a worker (kill -9), or stop it:\n${othersContinue(workers - 1)}.`
  return `${counted(accounts, 'simulated account')}, ${counted(workers, 'worker')}, ${own}, and one Postgres.
An address has ${RATE_LIMIT.limit} requests in ${formatDuration(RATE_LIMIT.windowMs / 1000)}.${invitation}
`
}

/** Time that a worker has to end, in milliseconds. */
const END_MS = 5_000

/** The workers of the demo. Disposing of them ends all of them, and waits for their end. */
interface DemoWorkers extends AsyncDisposable {
  /** Number of workers that still run. */
  readonly left: number
}

/** Watches the workers, and writes a line when one ends that the demo has not ended itself. */
function watchWorkers(workers: readonly ChildProcess[], write: (line: string) => void): DemoWorkers {
  let isEnding = false
  const countLeft = () => workers.filter((worker) => !hasEnded(worker)).length

  for (const [index, worker] of workers.entries()) {
    worker.once('exit', () => {
      if (isEnding) return
      const time = new Date().toISOString().slice(11, 19)
      write(
        `${time} worker ${index + 1} (process ${worker.pid}) is gone; ${countLeft() === 0 ? 'it was the last' : othersContinue(countLeft())}\n`,
      )
    })
  }

  return {
    get left() {
      return countLeft()
    },
    async [Symbol.asyncDispose]() {
      isEnding = true
      await Promise.all(workers.map(end))
    },
  }
}

/** Says that the other workers continue. */
function othersContinue(others: number): string {
  return others === 1 ? 'the other one continues' : 'the others continue'
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null
}

/** Ends a worker by SIGTERM. One that does not react, because it was stopped, is killed. */
async function end(worker: ChildProcess): Promise<void> {
  if (hasEnded(worker)) return
  const ended = once(worker, 'exit')
  worker.kill('SIGTERM')
  const force = setTimeout(() => worker.kill('SIGKILL'), END_MS)
  await ended
  clearTimeout(force)
}
