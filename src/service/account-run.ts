import { toListSource } from '../config/accounts.js'
import type { Config } from '../config/config.js'
import { type Database, readDatabaseTime } from '../db/client.js'
import { readRunningMode } from '../db/sync-runs.js'
import { type ReportedBudget, saveBudget, saveStuckAfter } from '../db/sync-state.js'
import type { Logger } from '../logging/logger.js'
import type { LoadProgress } from '../report/load-progress.js'
import { shortestInterval } from '../scheduler/schedules.js'
import { createSpidraClient, type RequestEvent, type WaitEvent } from '../spidra/client.js'
import type { RateLimit } from '../spidra/rate-limit-headers.js'
import { type BudgetWait, createRequestBudget, type RequestBudget } from '../spidra/request-budget.js'
import { LIST_SHARE } from '../sync/cost.js'
import { YieldError } from '../sync/interruptions.js'
import type { Page } from '../sync/page.js'
import { type RecordedRun, recordRun } from '../sync/recorded-run.js'
import type { RunMode, RunSummary, RunTrigger } from '../sync/run-summary.js'

/** The request budget of this process. It outlives a run, and reports its waits to all runs under way. */
export interface SharedBudget {
  readonly budget: RequestBudget
  /** Calls `onWait` before every wait, whichever run has to wait, until the returned function is called. */
  listen(onWait: (wait: BudgetWait) => void): () => void
}

/** Creates the budget from the configuration. */
export function createSharedBudget({ rateLimit, timing }: Pick<Config, 'rateLimit' | 'timing'>): SharedBudget {
  const listeners = new Set<(wait: BudgetWait) => void>()
  const { requests, windowSeconds, reserve } = rateLimit
  return {
    budget: createRequestBudget({
      requests,
      windowMs: windowSeconds * 1000,
      reserve,
      timing,
      onWait(wait) {
        for (const listener of listeners) listener(wait)
      },
    }),
    listen(onWait) {
      // A new function, because the set would keep only one entry of a function that two runs share.
      const listener = (wait: BudgetWait) => onWait(wait)
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

/** Converts a budget for storing: other processes need the time of its reset, not the duration until then. */
export function toReportedBudget(rateLimit: RateLimit | null): ReportedBudget | null {
  if (rateLimit === null) return null
  const { limit, remaining, resetInMs } = rateLimit
  return { limit, remaining, resetAt: resetInMs === null ? null : new Date(Date.now() + resetInMs) }
}

interface AccountRunOptions {
  readonly config: Config
  readonly db: Database
  readonly databaseUrl: string
  readonly account: string
  /** `host:pid`. */
  readonly worker: string
  readonly mode: RunMode
  /** Applies a mass removal instead of refusing it. Default false. */
  readonly acceptRemovals?: boolean
  readonly trigger: RunTrigger
  readonly sharedBudget: SharedBudget
  readonly signal: AbortSignal
  /** Whether a full pass must yield at its next stretch, so that another worker continues it. Default never. */
  readonly mustYield?: () => boolean
  readonly log: Logger
  /** Whether the caller shows people how the run ended, so that the log says it at `debug` only. Default false. */
  readonly isSummaryShown?: boolean
  readonly onPage?: (page: Page) => void
  readonly onRequest?: (event: RequestEvent) => void
  /** Called before a wait begins. */
  readonly onWait?: (wait: Pick<WaitEvent, 'reason' | 'waitMs'>) => void
  /**
   * Called soon after a long wait for the request budget has begun, if a first load or a full pass waits, with a text that
   * says when it will be done.
   */
  readonly onLoadWait?: (outlook: string) => void
}

/** Runs once for the account, with a client made from the configuration, and logs one summary. */
export async function runAccount(options: AccountRunOptions): Promise<RecordedRun> {
  const { config, log, account, mode, trigger, worker, signal, db, databaseUrl, onPage } = options
  const { budget } = options.sharedBudget
  const announced = new Set<Promise<void>>()
  let stopListening = () => {}
  const outcome = await recordRun({
    db,
    databaseUrl,
    account,
    source: toListSource(config.spidra),
    mode,
    trigger,
    worker,
    signal,
    redact: config.redact,
    log,
    pagesPerRun: config.pagesPerRun,
    // A full run reads the head and the open jobs as often as the incremental runs would.
    timing: { ...config.timing, refreshMs: intervalMsOf(config) },
    sizes: config.sizes,
    mayGo: budget.mayGo,
    acceptRemovals: options.acceptRemovals ?? false,
    results:
      config.results === null
        ? null
        : { mode: config.results, perRun: config.resultsPerRun, mayRead: () => mayReadResults(budget) },
    // A run that may have to yield leaves the rest of the window to the other accounts.
    ...(options.mustYield ? { mustYield: options.mustYield } : { windowRest: budget.rest }),
    ...(onPage ? { onPage } : {}),
    readBudget: () => ({ budget: toReportedBudget(budget.reported()), waitMs: budget.waitMs() }),
    createClient(counters, runLog, beat) {
      stopListening = options.sharedBudget.listen((wait) => {
        counters.waitedMs += wait.waitMs
        const logged = logWait(options, wait, runLog, beat).finally(() => announced.delete(logged))
        announced.add(logged)
        options.onWait?.({ reason: 'rate_limited', waitMs: wait.waitMs })
      })
      return createSpidraClient({
        ...config.spidra,
        proxy: config.proxy,
        timing: config.timing,
        budget,
        onRequest(event) {
          counters.requests += 1
          if (event.attempt > 1) counters.retries += 1
          options.onRequest?.(event)
        },
        onWait(event) {
          counters.waitedMs += event.waitMs
          runLog.debug(event, 'request will be tried again')
          options.onWait?.(event)
        },
      })
    },
  }).finally(() => stopListening())
  await Promise.all(announced)
  if (outcome.summary.runId !== null) await saveForStatus(options)
  if (options.isSummaryShown) log.debug({ ...outcome.summary, err: outcome.error }, 'run finished')
  else logSummary(log, outcome, signal)
  return outcome
}

/** The shortest time between two incremental runs of the schedule. */
export function intervalMsOf({ schedule, timing }: Pick<Config<string | null>, 'schedule' | 'timing'>): number {
  return shortestInterval([schedule.sync]) ?? timing.refreshMs
}

/** Whether the results of batches may be read: `LIST_SHARE` of our share of each window stays for the list. */
function mayReadResults(budget: RequestBudget): boolean {
  const rest = budget.rest()
  return budget.mayGo() && (rest === null || rest.requests > rest.share * LIST_SHARE)
}

/**
 * Logs that a wait for the request budget begins. For a long one, it writes a heartbeat first, so that the status shows the
 * wait at once, and adds how far the first load or the full pass is.
 */
async function logWait(
  { db, account, config, onLoadWait }: AccountRunOptions,
  { waitMs, resumeAt }: BudgetWait,
  log: Logger,
  beat: () => Promise<void>,
): Promise<void> {
  async function readProgress(): Promise<LoadProgress | null> {
    if (waitMs < config.timing.longWaitMs) return null
    await beat()
    // Most runs wait for nothing, and a command starts faster without what shows it.
    const { readLoadProgress, toOutlookText } = await import('../report/load-progress.js')
    const options = { account, now: await readDatabaseTime(db), rateLimit: config.rateLimit }
    const progress = await readLoadProgress(db, options)
    if (progress !== null) onLoadWait?.(toOutlookText(progress))
    return progress
  }
  // A database that is away also fails the merges, which report it; so does a record that another worker has closed.
  const progress = await readProgress().catch(() => null)
  const { kind: load, doneJobs, listedJobs, percent, doneAt } = progress ?? {}
  const fields = progress === null ? {} : { load, doneJobs, listedJobs, percent, doneAt }
  log.info({ waitMs, resumeAt, ...fields }, 'waiting for the request budget')
}

/** Saves what other processes show in their status: the rest of the budget, and when a job counts as stuck. */
async function saveForStatus({ db, account, config, sharedBudget, log }: AccountRunOptions): Promise<void> {
  const reported = toReportedBudget(sharedBudget.budget.reported())
  try {
    if (reported !== null) await saveBudget(db, account, reported)
    await saveStuckAfter(db, account, config.stuckAfterHours)
  } catch (err) {
    log.warn({ err }, 'budget and settings could not be saved')
  }
}

function logSummary(log: Logger, { summary, error }: RecordedRun, { aborted: isStopped }: AbortSignal): void {
  const { status, reason } = summary
  if (status === 'skipped') return
  if (status === 'failed') log.error({ ...withoutReason(summary), err: error }, 'run failed')
  else if (status === 'partial' && reason !== 'first_pass_unfinished') log.error(summary, 'run partial')
  else if (error instanceof YieldError) log.info(summary, 'run yielded')
  else if (status === 'aborted' && isStopped) log.info(summary, 'run aborted')
  else if (status === 'aborted') log.warn({ ...summary, err: error }, 'run aborted')
  else log.info(summary, 'run finished')
}

/** The reason of a failed run repeats the message of its error. */
function withoutReason({ reason: _, ...summary }: RunSummary): Omit<RunSummary, 'reason'> {
  return summary
}

/**
 * Whether a full run that was due before this run ended is still to be done. A full run does the work of all full runs that
 * become due while it is under way. After a skipped run, the mode of the run of the other process decides. `summary.mode`
 * is what the run really was: a run that was requested as incremental is full while a pass is unfinished.
 */
export async function isFullRunLeft(
  db: Database,
  { status, mode, account }: Pick<RunSummary, 'status' | 'mode' | 'account'>,
): Promise<boolean> {
  const modeUnderWay = status === 'skipped' ? await readRunningMode(db, account) : mode
  return modeUnderWay !== 'full'
}
