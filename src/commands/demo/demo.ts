import { once } from 'node:events'
import { join } from 'node:path'
import { openDatabase } from '../../db/client.js'
import { openEmbeddedPostgres } from '../../db/embedded/postgres.js'
import { dropSchemas, migrate } from '../../db/migrate.js'
import { ensureReaderRole } from '../../db/reader-role.js'
import { createSharedBudget, runAccount } from '../../service/account-run.js'
import { type CommandContext, EXIT_CODES } from '../../service/context.js'
import type { OpenDatabase } from '../../service/database.js'
import { describeRun, openProgress } from '../../service/run-output.js'
import { startService } from '../../service/service.js'
import { type Simulator, startSimulator } from '../../simulator/server.js'
import type { RunSummary } from '../../sync/run-summary.js'
import { type PortChoice, startOnFreePort } from './port.js'
import { openDemoState } from './setup.js'
import { instructions, READER_ROLE, readerUrl, runLine, SAMPLE_QUERY, sampleAnswer } from './text.js'

/** Apart from the real database, so that the two never mix. */
const DEMO_DIRECTORY = join('.spidra-sync', 'demo')

/** Lively enough to watch: a new job every three seconds, each living for about a minute. */
const DEMO_ACCOUNT = { jobs: 2_000, arrivalsPerMinute: 20, speed: 10, latencyMs: 25, rateLimit: 'off' } as const

/** Short runs in short order, so that the same query soon gives another answer. */
export const DEMO_ENVIRONMENT = {
  SPIDRA_API_KEY: 'spd_demo',
  RATE_LIMIT_REQUESTS: 'off',
  SYNC_SCHEDULE: '*/10 * * * * *',
  FULL_SYNC_SCHEDULE: 'off',
  SYNC_ON_START: 'false',
} as const

/** `spidra-sync demo`: the real worker on an embedded Postgres, against the bundled simulator. */
export async function runDemoCommand(
  context: CommandContext,
  flags: { readonly once: boolean } & PortChoice,
): Promise<number> {
  const { log, signal, stdout } = context
  const directory = join(context.workingDirectory, DEMO_DIRECTORY)
  // First, because it knows what to say where the directory cannot be written.
  const embedded = await openEmbeddedPostgres({ directory, log, signal })
  const db = openDatabase(embedded.url)
  const database = { db, databaseUrl: embedded.url, close: () => db.$disconnect() }
  try {
    const state = await openDemoState(join(directory, 'demo.json'), Date.now())
    await using simulator = await startSimulator({ ...DEMO_ACCOUNT, epoch: state.epoch, seed: state.seed })
    if (state.isNewAccount) await dropSchemas(embedded.url)
    await migrate(embedded.url, { log, signal })
    await ensureReaderRole(embedded.url, READER_ROLE, state.readerPassword)
    const exitCode = await runFirst(withSimulator(context, simulator), database, simulator.account.total)
    if (exitCode !== EXIT_CODES.complete || signal.aborted) return exitCode
    if (flags.once) {
      stdout.write(`\n${SAMPLE_QUERY}\n\n${await sampleAnswer(db)}`)
      return exitCode
    }
    const onRun = (summary: RunSummary) => stdout.write(runLine(summary, new Date()))
    await using service = await startOnFreePort(withSimulator(context, simulator), flags, (free) =>
      startService(free, database, { onRun }),
    )
    stdout.write(instructions(readerUrl(embedded.url, state.readerPassword), service.http?.url ?? null))
    if (!signal.aborted) await once(signal, 'abort')
    stdout.write('\nStopping.\n')
    return exitCode
  } finally {
    await database.close()
    await embedded.close()
  }
}

function withSimulator(context: CommandContext, { url, key }: Simulator): CommandContext {
  const { config } = context
  return {
    ...context,
    config: { ...config, spidra: { ...config.spidra, apiUrl: url, apiKey: key, sourceAddress: null } },
  }
}

/** The first run, before the service: with a progress bar, and its summary in words. */
async function runFirst(context: CommandContext, database: OpenDatabase, jobs: number): Promise<number> {
  const { stdout, stderr } = context
  stdout.write(`A simulated Spidra account of ${jobs.toLocaleString('en')} jobs, and a real Postgres. First run:\n\n`)
  const progress = stderr.isTTY ? openProgress(stderr) : null
  const { summary } = await runAccount({
    ...context,
    ...database,
    mode: 'full',
    trigger: 'startup',
    sharedBudget: createSharedBudget(context.config),
    isSummaryShown: true,
    ...(progress ? { onPage: progress.onPage, onWait: progress.onWait } : {}),
  }).finally(() => progress?.stop())
  stdout.write(await describeRun(database.db, summary))
  return summary.status === 'complete' || context.signal.aborted ? EXIT_CODES.complete : EXIT_CODES.failed
}
