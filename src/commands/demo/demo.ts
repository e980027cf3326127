import { once } from 'node:events'
import { table } from 'table'
import { type Database, openDatabase } from '../../db/client.js'
import { openEmbeddedPostgres } from '../../db/embedded/postgres.js'
import { dropSchemas, migrate } from '../../db/migrate.js'
import { ensureReaderRole } from '../../db/reader-role.js'
import { counted, formatNumber, wrapFor } from '../../logging/printable.js'
import { createSharedBudget, runAccount } from '../../service/account-run.js'
import { type CommandContext, EXIT_CODES } from '../../service/context.js'
import type { OpenDatabase } from '../../service/database.js'
import { describeRun, openProgress } from '../../service/run-output.js'
import { startService } from '../../service/service.js'
import { type Simulator, startSimulator } from '../../simulator/server.js'
import type { RunSummary } from '../../sync/run-summary.js'
import {
  DEMO_RESULTS,
  demoStateFile,
  howToQuery,
  openDemoState,
  type PortChoice,
  READER_ROLE,
  readerUrl,
  SAMPLE_QUERY,
  saveDemoApi,
  startOnFreePort,
} from './setup.js'

/** A new job every three seconds, which finishes after about a minute, so that there is something to watch. */
const DEMO_ACCOUNT = { jobs: 2_000, arrivalsPerMinute: 20, speed: 10, latencyMs: 25, rateLimit: 'off' } as const

/** `spidra-sync demo`: runs the real service on an embedded Postgres, against the bundled simulator. Returns the exit code. */
export async function runDemoCommand(
  context: CommandContext,
  flags: { readonly once: boolean } & PortChoice,
): Promise<number> {
  const { log, signal, stdout, embeddedDirectory: directory } = context
  // First, because its error explains a directory that cannot be written.
  const embedded = await openEmbeddedPostgres({ directory, log, signal })
  const db = openDatabase(embedded.url)
  const database = { db, databaseUrl: embedded.url, close: () => db.$disconnect() }
  try {
    const state = await openDemoState(demoStateFile(directory), Date.now())
    await using simulator = await startSimulator({ ...DEMO_ACCOUNT, epoch: state.epoch, seed: state.seed })
    await saveDemoApi(demoStateFile(directory), simulator.url)
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
    const served = withSimulator({ ...context, config: { ...context.config, ...DEMO_RESULTS } }, simulator)
    await using service = await startOnFreePort(served, flags, (free) => startService(free, database, { onRun }))
    stdout.write(instructions(context.self, readerUrl(embedded.url, state.readerPassword), service.http?.url ?? null))
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

/** Makes the first run, before the service starts, with a progress bar and a text about the result. */
async function runFirst(context: CommandContext, database: OpenDatabase, jobs: number): Promise<number> {
  const { stdout, stderr } = context
  stdout.write(`A simulated Spidra account of ${formatNumber(jobs)} jobs, and a real Postgres. First run:\n\n`)
  const sharedBudget = createSharedBudget(context.config)
  const progress = stderr.isTTY ? openProgress(stderr, sharedBudget.budget) : null
  const { summary, error } = await runAccount({
    ...context,
    ...database,
    mode: 'full',
    trigger: 'startup',
    sharedBudget,
    isSummaryShown: true,
    ...(progress ? { onPage: progress.onPage, onWait: progress.onWait, onLoadWait: progress.onLoadWait } : {}),
  }).finally(() => progress?.stop())
  stdout.write(wrapFor(stdout, await describeRun(database.db, summary, error)))
  return summary.status === 'complete' || context.signal.aborted ? EXIT_CODES.complete : EXIT_CODES.failed
}

/** Formats the answer to the sample query as a table. */
async function sampleAnswer(db: Database): Promise<string> {
  const rows = await db.$queryRaw<{ status: string; jobs: string; urls: string }[]>`
    SELECT status, count(*)::text AS jobs, sum(completed_count)::text AS urls
    FROM spidra_reporting.batch_jobs GROUP BY status ORDER BY count(*) DESC`
  const cells = [['status', 'jobs', 'urls'], ...rows.map(({ status, jobs, urls }) => [status, jobs, urls])]
  return table(cells, { columns: [{}, { alignment: 'right' }, { alignment: 'right' }], drawHorizontalLine: isFrame })
}

function isFrame(line: number, rows: number): boolean {
  return line <= 1 || line === rows
}

/** Explains what the running demo does, and how to query it. */
function instructions(self: string, reader: string, httpUrl: string | null): string {
  return `
From now on jobs arrive, progress, finish and are retried; a run follows every
10 seconds. Each also reads which URLs of up to ${DEMO_RESULTS.resultsPerRun} batches failed.
${howToQuery(self, reader, httpUrl)}
`
}

/** Formats a run as one line of at most 80 columns. */
function runLine(summary: RunSummary, now: Date): string {
  const { status, listedTotal, inserted, updated, restored, removed, requests, retries, pagesRead } = summary
  const time = now.toISOString().slice(11, 19)
  const listed = listedTotal === null ? '' : `${counted(listedTotal, 'job')} listed, `
  const changed = updated + restored + removed
  const batches = requests - retries - pagesRead
  const ofBatches = batches === 0 ? '' : `, ${counted(batches, 'batch', 'batches')}`
  const read = `${counted(pagesRead, 'page')}${ofBatches} read`
  return `${time} ${status}: ${listed}${inserted} new, ${changed} changed, ${read}\n`
}
