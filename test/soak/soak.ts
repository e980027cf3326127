import { setTimeout as sleep } from 'node:timers/promises'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import { API_KEY, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { compareWithList } from '../support/job-rows.js'
import type { TestDatabase } from '../support/test-database.js'
import { startChurn } from './churn.js'
import { createDice } from './dice.js'
import { createJudge, nextRun, WAIT_MS } from './judge.js'
import { startMonitor } from './monitor.js'
import { drawRates, type Phase, planPhases } from './phases.js'
import { type SoakResult, tallyFaults } from './summary.js'
import { growth } from './vitals.js'

export interface SoakOptions {
  readonly minutes: number
  /** Seed of the jobs, the faults and the changes of the list. Their timing depends on the machine. */
  readonly seed: number
  /** Jobs at the start; the list keeps about that length. */
  readonly jobs: number
  /** MB by which the median memory of the last quarter may exceed that of the quarter before. */
  readonly rssMarginMb: number
  /** Called with each line of progress. */
  readonly onProgress: (line: string) => void
}

/** The simulator's rate limit. */
const WINDOW = { limit: 2_000, windowMs: 5_000 }

/** Requests that others leave of a window in a `limited` phase. */
const LEFT_OVER = 40

/** Short intervals and waits, so that many runs fit into the time. */
const ENVIRONMENT = {
  ...{ SYNC_SCHEDULE: '*/2 * * * * *', FULL_SYNC_SCHEDULE: '*/15 * * * * *' },
  ...{ REQUEST_TIMEOUT_MS: '1000', RETRY_BASE_MS: '20', RATE_LIMIT_RESERVE: '0.1', HTTP_PORT: '0', LOG_LEVEL: 'debug' },
}

/** A leak of one per run or request would exceed these by far. Connections vary by a few with the work under way. */
const COUNT_MARGINS = { descriptors: 3, connections: 2 }

/**
 * Runs the service against a simulated account whose faults are switched on and off, while jobs arrive, change and are
 * removed, and checks its claims all the time. The result names the claims that failed. A failure does not end the
 * soak, unless the process itself has ended.
 */
export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const { seed } = options
  const startedAt = performance.now()
  const minutes = () => (performance.now() - startedAt) / 60_000
  const dice = createDice(seed)
  const faults = new Map<string, number>()
  const reported = new Set<string>()
  let counted = 0
  let recoveries = 0

  await using database = await createCliDatabase()
  const judge = createJudge(database, { requests: () => simulator.requests, listed: () => churn.listed })
  await using simulator: Simulator = await startSimulator({
    ...{ jobs: options.jobs, seed, ties: 0.1, key: API_KEY, requestsKept: 20_000, rateLimit: WINDOW },
    faults: { slowBodyMs: 300, retryAfterSeconds: 1 },
    beforeAnswer: judge.beforeAnswer,
  })
  using churn = startChurn(simulator.account, createDice(seed + 1))
  await using service = await startCli(['start'], {
    env: { SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: simulator.url, DATABASE_URL: database.url, ...ENVIRONMENT },
  })
  const monitor = await startMonitor(service, database)
  const { failures, over } = monitor

  async function runPhase({ kind, ms }: Phase): Promise<void> {
    simulator.faults.setRates(drawRates(kind, dice))
    using _others = spendBudget(kind === 'limited' ? simulator : null)
    if (kind === 'quiet') {
      // A job that is removed while a run searches for removed ones is left to the next run, so partial would be right.
      churn.mayRemove(false)
      if (await isNextComplete('the first run after the faults')) recoveries += 1
      churn.mayRemove(true)
    }
    await sleep(ms, undefined, { signal: over })
    counted = tallyFaults(simulator.requests, counted, faults)
    options.onProgress(`${minutes().toFixed(1)} min, ${kind}: ${judge.runs.length} runs, ${counted} requests`)
    for (const problem of unreported()) options.onProgress(`  does not hold: ${problem}`)
  }

  function unreported(): readonly string[] {
    const fresh = [...failures, ...judge.failures].filter((failure) => !reported.has(failure))
    for (const failure of fresh) reported.add(failure)
    return fresh
  }

  async function isNextComplete(what: string, mode: 'full' | null = null): Promise<boolean> {
    const run = await nextRun(database, mode, over)
    if (run === null) failures.push(`${what} did not end within ${WAIT_MS} ms`)
    else if (run.status !== 'complete')
      failures.push(`${what} (${run.id}, ${run.mode}) was ${run.status}: ${run.reason}`)
    return run?.status === 'complete'
  }

  try {
    for (const phase of planPhases(options.minutes)) await runPhase(phase)
    churn.stop()
    await isNextComplete('a full run of the unchanged list', 'full')
    failures.push(...(await compareWithList(database, simulator.account)))
  } catch (error) {
    if (!over.aborted) throw error
  }
  await monitor.end()
  await judge.finish()
  tallyFaults(simulator.requests, counted, faults)
  const margins = { rssMb: options.rssMarginMb, ...COUNT_MARGINS }
  return {
    ...{ minutes: minutes(), seed, runs: judge.runs, excused: judge.excused, recoveries },
    failures: [...failures, ...judge.failures, ...growth(monitor.samples, margins)],
    completeWithRejections: judge.completeWithRejections,
    ...{ requests: simulator.requestCount, faults, churn: churn.counts },
    jobs: await countJobs(database, simulator),
    ...{ healthChecks: monitor.healthChecks, outputBytes: monitor.outputBytes, samples: monitor.samples },
  }
}

/** Uses up each window of the budget, except `LEFT_OVER`, as others at our address would; null: does nothing. */
function spendBudget(simulator: Simulator | null): Disposable {
  const spend = () => simulator?.spend(WINDOW.limit - LEFT_OVER)
  spend()
  // A little later than the end of a window, so that no window is used up twice.
  const timer = setInterval(spend, WINDOW.windowMs + 100)
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

async function countJobs({ sql }: TestDatabase, { account }: Simulator): Promise<SoakResult['jobs']> {
  const [row] = await sql<{ stored: number; removed: number; quarantined: number }>(`
    SELECT (SELECT count(*)::integer FROM spidra.batch_jobs WHERE removed_at IS NULL) AS stored,
      (SELECT count(*)::integer FROM spidra.batch_jobs WHERE removed_at IS NOT NULL) AS removed,
      (SELECT count(*)::integer FROM spidra.rejected_jobs) AS quarantined`)
  return { listed: account.total, stored: 0, removed: 0, quarantined: 0, ...row }
}
