import { toListSource } from '../config/accounts.js'
import type { Config } from '../config/config.js'
import type { Database } from '../db/client.js'
import { saveBudget, saveStuckAfter, type ToldBudget } from '../db/sync-state.js'
import type { Logger } from '../logging/logger.js'
import { createCron, shortestInterval } from '../scheduler/cron.js'
import { createSpidraClient, type RequestEvent, type WaitEvent } from '../spidra/client.js'
import { HandedOnError } from '../sync/interruptions.js'
import type { Page } from '../sync/page.js'
import { type RecordedRun, recordRun } from '../sync/recorded-run.js'
import type { RunMode, RunSummary, RunTrigger } from '../sync/run-summary.js'
import type { SharedBudget } from './shared-budget.js'

export interface AccountRunOptions {
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
  /** Whether a full pass should stop at the next stretch, so that another worker goes on. Default: never. */
  readonly mustHandOn?: () => boolean
  readonly log: Logger
  /** Whether the caller tells people how the run ended: then the log need not. Default false. */
  readonly isTold?: boolean
  readonly onPage?: (page: Page) => void
  readonly onRequest?: (event: RequestEvent) => void
  /** Hears of a wait before it begins. */
  readonly onWait?: (wait: Pick<WaitEvent, 'reason' | 'waitMs'>) => void
}

/** Between two incremental runs, in milliseconds, as if their schedule went on during a full run; null without one. */
function intervalOf({ schedule }: Config): number | null {
  return schedule.sync === null ? null : shortestInterval([createCron(schedule.sync, schedule.timezone)])
}

/** Runs once for the account with a client made from the configuration, and logs one summary. */
export async function runAccount(options: AccountRunOptions): Promise<RecordedRun> {
  const { config, log, account, mode, trigger, worker, signal, db, databaseUrl, onPage } = options
  const { budget } = options.sharedBudget
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
    log,
    pagesPerRun: config.pagesPerRun,
    timing: { ...config.timing, refreshMs: intervalOf(config) ?? config.timing.refreshMs },
    sizes: config.sizes,
    mayGo: budget.mayGo,
    acceptRemovals: options.acceptRemovals ?? false,
    // A run that may be handed on leaves what is left of the window to other accounts.
    ...(options.mustHandOn ? { mustHandOn: options.mustHandOn } : { windowRest: budget.rest }),
    ...(onPage ? { onPage } : {}),
    createClient(counters, runLog) {
      stopListening = options.sharedBudget.listen(({ waitMs, resumeAt }) => {
        counters.waitedMs += waitMs
        runLog.info({ waitMs, resumeAt }, 'waiting for the request budget')
        options.onWait?.({ reason: 'rate_limited', waitMs })
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
  if (outcome.summary.runId !== null) await noteForOthers(options, budget.told())
  if (options.isTold) log.debug({ ...outcome.summary, err: outcome.error }, 'run finished')
  else logSummary(log, outcome)
  return outcome
}

/** Notes what other processes show: the budget that is left, and what counts as stuck. */
async function noteForOthers({ db, account, config, log }: AccountRunOptions, told: ToldBudget | null): Promise<void> {
  try {
    if (told !== null) await saveBudget(db, account, told)
    await saveStuckAfter(db, account, config.stuckAfterHours)
  } catch (err) {
    log.warn({ err }, 'budget and settings could not be noted')
  }
}

/** The reason of a failed run is the message of its error. */
function withoutReason({ reason: _, ...summary }: RunSummary): Omit<RunSummary, 'reason'> {
  return summary
}

function logSummary(log: Logger, { summary, error }: RecordedRun): void {
  const { status, reason } = summary
  if (status === 'skipped') return
  if (status === 'failed') log.error({ ...withoutReason(summary), err: error }, 'run failed')
  else if (status === 'partial' && reason !== 'first_pass_unfinished') log.error(summary, 'run partial')
  else if (error instanceof HandedOnError) log.info(summary, 'run handed on')
  else if (status === 'aborted') log.warn({ ...summary, err: error }, 'run aborted')
  else log.info(summary, 'run finished')
}
