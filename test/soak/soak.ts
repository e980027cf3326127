import { setTimeout as sleep } from 'node:timers/promises'
import { type Simulator, startSimulator } from '../../src/simulator/server.js'
import { API_KEY, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import type { TestDatabase } from '../support/test-database.js'
import { startChurn } from './churn.js'
import { compareWithList } from './compare.js'
import { createDice } from './dice.js'
import { createJudge } from './judge.js'
import { startPatrol } from './patrol.js'
import { drawRates, type Phase, planPhases } from './phases.js'
import { nextRun, PATIENCE_MS } from './runs.js'
import { type SoakResult, tallyFaults } from './summary.js'
import { growth } from './vitals.js'

export interface SoakOptions {
  readonly minutes: number
  /** Of the jobs, the faults and what happens to the list. When it happens is up to the machine. */
  readonly seed: number
  /** Jobs at the start; about as many it will always be. */
  readonly jobs: number
  /** MB by which the median of the last quarter may lie above that of the quarter before. */
  readonly rssMarginMb: number
  /** Hears of the progress, a line at a time. */
  readonly onProgress: (line: string) => void
}

/** The window of the simulator's rate limit. */
const WINDOW = { limit: 2_000, windowMs: 5_000 }

/** What others leave of a window while the budget is short. */
const LEFT_OVER = 40

/** Runs follow each other closely, and what is waited for is waited for only shortly. */
const ENVIRONMENT = {
  ...{ SYNC_SCHEDULE: '*/2 * * * * *', FULL_SYNC_SCHEDULE: '*/15 * * * * *' },
  ...{ REQUEST_TIMEOUT_MS: '1000', RETRY_BASE_MS: '20', RATE_LIMIT_RESERVE: '0.1', HTTP_PORT: '0', LOG_LEVEL: 'debug' },
}

/** A leak of one by each run or request would be far beyond; connections come and go by a few with what is under way. */
const COUNT_MARGINS = { descriptors: 3, connections: 2 }

/**
 * Runs the service against a simulated account whose faults are switched on and off, while jobs come, go and change, and
 * holds it to its claims all the time. A claim that fails is named in the result; the soak goes on unless the process
 * has ended.
 */
export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const { seed } = options
  const startedAt = performance.now()
  const minutes = () => (performance.now() - startedAt) / 60_000
  const dice = createDice(seed)
  const faults = new Map<string, number>()
  const told = new Set<string>()
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
  const patrol = await startPatrol(service, database)
  const { failures, over } = patrol

  async function live({ kind, ms }: Phase): Promise<void> {
    simulator.faults.setRates(drawRates(kind, dice))
    using _others = spendAway(kind === 'limited' ? simulator : null)
    if (kind === 'quiet') {
      // A job that goes while others are looked for is found by the next run. That run may say partial, and be right.
      churn.mayRemove(false)
      if (await isNextComplete('the first run after the faults')) recoveries += 1
      churn.mayRemove(true)
    }
    await sleep(ms, undefined, { signal: over })
    counted = tallyFaults(simulator.requests, counted, faults)
    options.onProgress(`${minutes().toFixed(1)} min, ${kind}: ${judge.runs.length} runs, ${counted} requests`)
    for (const problem of untold()) options.onProgress(`  does not hold: ${problem}`)
  }

  function untold(): readonly string[] {
    const fresh = [...failures, ...judge.failures].filter((failure) => !told.has(failure))
    for (const failure of fresh) told.add(failure)
    return fresh
  }

  async function isNextComplete(what: string, mode: 'full' | null = null): Promise<boolean> {
    const run = await nextRun(database, mode, over)
    if (run === null) failures.push(`${what} did not end within ${PATIENCE_MS} ms`)
    else if (run.status !== 'complete')
      failures.push(`${what} (${run.id}, ${run.mode}) was ${run.status}: ${run.reason}`)
    return run?.status === 'complete'
  }

  try {
    for (const phase of planPhases(options.minutes)) await live(phase)
    churn.stop()
    await isNextComplete('a full run of the list that stands still', 'full')
    failures.push(...(await compareWithList(database, simulator.account)))
  } catch (error) {
    if (!over.aborted) throw error
  }
  await patrol.end()
  await judge.finish()
  tallyFaults(simulator.requests, counted, faults)
  const margins = { rssMb: options.rssMarginMb, ...COUNT_MARGINS }
  return {
    ...{ minutes: minutes(), seed, runs: judge.runs, excused: judge.excused, recoveries },
    failures: [...failures, ...judge.failures, ...growth(patrol.samples, margins)],
    completeWithRejections: judge.completeWithRejections,
    ...{ requests: simulator.requestCount, faults, churn: churn.counts },
    jobs: await countJobs(database, simulator),
    ...{ healthChecks: patrol.healthChecks, outputBytes: patrol.outputBytes, samples: patrol.samples },
  }
}

/** Others at our address use up each window of the budget but for a rest; null: nobody does. */
function spendAway(simulator: Simulator | null): Disposable {
  const spend = () => simulator?.spend(WINDOW.limit - LEFT_OVER)
  spend()
  // A little later each time than a window ends, so that no window is spent twice.
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
