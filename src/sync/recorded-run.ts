import { setMaxListeners } from 'node:events'
import type { Logger } from 'pino'
import type { ListSource } from '../config/accounts.js'
import type { SyncSizes, Timing } from '../config/scale.js'
import { beginResults, endResults, noteComplete } from '../db/batch-items.js'
import type { Database } from '../db/client.js'
import { STATEMENT_DEADLINE_MS } from '../db/connection.js'
import { toDatabaseError } from '../db/connection-error.js'
import { refreshDailyTotals } from '../db/housekeeping.js'
import { withRetries } from '../db/retry.js'
import { beatRun, type RunReported, startRun } from '../db/run-lease.js'
import { finishRun, RunClosedError, type RunEnd, type RunKey, saveRunMode } from '../db/sync-runs.js'
import { openSyncState } from '../db/sync-state.js'
import { errorCodeOf, messageOf } from '../logging/error-code.js'
import { formatDuration } from '../logging/printable.js'
import type { Redact } from '../logging/redact.js'
import type { SpidraClient } from '../spidra/client.js'
import { SpidraError } from '../spidra/errors.js'
import { assertOwnList } from './foreign-list.js'
import { YieldError } from './interruptions.js'
import type { Page } from './page.js'
import type { HeadRead, WindowRest } from './pass.js'
import { LEAST_REFRESH_REQUESTS, requestsDue, toDue } from './read-all.js'
import { type ResultsOptions, readResults } from './read-results.js'
import { modeOf } from './run-mode.js'
import { type Counters, createCounters, type RunMode, type RunSummary, type RunTrigger } from './run-summary.js'
import { type RunResult, runSync } from './run-sync.js'

export interface RecordedRunOptions {
  readonly db: Database
  /** For error messages. */
  readonly databaseUrl: string
  /**
   * Makes the client of this run; its attempts and waits go to the run's counters. `beat` writes a heartbeat before the
   * next one is due.
   */
  readonly createClient: (counters: Counters, log: Logger, beat: () => Promise<void>) => SpidraClient
  /** What the heartbeat reports of the request budget. Default: nothing is known. */
  readonly readBudget?: () => Pick<RunReported, 'budget' | 'waitMs'>
  readonly account: string
  readonly source: ListSource
  readonly mode: RunMode
  readonly trigger: RunTrigger
  /** `host:pid`. */
  readonly worker: string
  /** Passed on to the run; see `SyncOptions`. */
  readonly pagesPerRun: number
  readonly timing: Timing
  readonly sizes: SyncSizes
  readonly mayGo: () => boolean
  /** Default: nothing is known. */
  readonly windowRest?: () => WindowRest | null
  /** Default false. */
  readonly acceptRemovals?: boolean
  /** How long a run that advances may be without a request or an announced wait, in milliseconds. Default two minutes. */
  readonly longestSilenceMs?: number
  /** Default: never. */
  readonly mustYield?: () => boolean
  /** Default null: the items of batches are neither noted nor read. */
  readonly results?: ResultsOptions | null
  readonly signal: AbortSignal
  /** Applied to the message of an error before it is stored and returned. */
  readonly redact: Redact
  readonly log: Logger
  readonly onPage?: (page: Page) => void
}

/**
 * Longest time without a request or a wait in a run that advances, in milliseconds: a request may take its whole timeout, and
 * a few statements theirs.
 */
const LONGEST_SILENCE_MS = 4 * STATEMENT_DEADLINE_MS

/** A run made neither a request nor a wait for longer than its deadlines allow. It is given up, and may write no more. */
class StalledError extends Error {
  override readonly name = 'StalledError'
  readonly code = 'stalled'

  constructor(run: RunKey, silenceMs: number) {
    super(
      `Run ${run.id} of account ${run.account} did nothing for ${formatDuration(silenceMs / 1000)} and was given up; the next run continues ` +
        'from the stored position. That is a fault of spidra-sync: please report it with the log of this run',
    )
  }
}

/** A run and, where it failed, the error. The record is closed either way. */
export interface RecordedRun {
  readonly summary: RunSummary
  readonly error: Error | null
}

/**
 * Runs once for the account, with a record in `spidra.sync_runs`. The run is skipped where another worker has a running
 * record. A failed or aborted run is a value, not an exception, even if its record could not be written.
 */
export async function recordRun(options: RecordedRunOptions): Promise<RecordedRun> {
  const { db, databaseUrl, account, trigger, worker } = options
  const startedAt = performance.now()
  try {
    const retryingDb = withRetries(db, { signal: options.signal, onRetry: logRetry(options, options.log) })
    await closeLeftRecord(db, retryingDb, account)
    const run = await startRun(retryingDb, { account, mode: options.mode, trigger, worker }, options.timing.deadAfterMs)
    if (run === null) {
      options.log.info({ account }, 'run skipped: another worker runs the account')
      return {
        summary: summarize(options, null, startedAt, createCounters(), { ...NO_ENDING, status: 'skipped' }),
        error: null,
      }
    }
    return await runAndClose(options, run, startedAt)
  } catch (thrown) {
    const error = toRunError(thrown, databaseUrl)
    const ending = { ...NO_ENDING, ...endingOf(error, options) }
    return { summary: summarize(options, null, startedAt, createCounters(), ending), error }
  }
}

async function runAndClose(options: RecordedRunOptions, run: RunKey, startedAt: number): Promise<RecordedRun> {
  const log = options.log.child({ runId: String(run.id), account: run.account })
  const counters = createCounters()
  let latestTotal: number | null = null
  const { readBudget = () => ({ budget: null, waitMs: 0 }) } = options
  const beat = () => beatRun(options.db, run, { counters, latestTotal, ...readBudget() })
  const client = options.createClient(counters, log, beat)
  const { heartbeatMs } = options.timing
  const silenceMs = options.longestSilenceMs ?? LONGEST_SILENCE_MS
  const isWaiting = () => client.isWaiting
  // Where runs share a budget, the waits of the others are counted too.
  const announces = options.mustYield === undefined
  const heart = startHeartbeat(run, counters, beat, { everyMs: heartbeatMs, silenceMs, isWaiting, announces })
  const signal = AbortSignal.any([options.signal, heart.stopped])
  // Every request in flight adds a listener.
  setMaxListeners(0, signal)
  const db = withRetries(options.db, { signal, onRetry: logRetry(options, log) })
  let { mode } = options
  let ending: Ending
  let openUnread = 0
  let error: Error | null = null

  async function work(): Promise<RunResult> {
    const state = await openSyncState(db, run.account)
    mode = modeOf(mode, state)
    if (mode !== options.mode) await saveRunMode(db, run, mode)
    log.info({ mode, trigger: options.trigger }, 'run started')
    const { pagesPerRun, timing, sizes, results = null } = options
    // First of all: a run that fails before this has noted nothing, and all stored jobs are compared again.
    const isComparing = results !== null && (await beginResults(db, run, { ...results, intervalMs: timing.refreshMs }))
    if (results === null && state.resultsMode !== null) await endResults(db, run.account)
    await assertOwnList({ db, client, account: run.account, source: options.source, signal })

    /** Reads items, after the table is known to hold the list. Until the window ends, the list will need what its head took now. */
    async function readItems(head: HeadRead): Promise<void> {
      if (results === null) return
      const isListSafe = () => {
        const rest = options.windowRest?.() ?? null
        return rest === null || rest.requests > requestsDue(rest, toDue({ timing }, head))
      }
      // A full pass that has to yield the worker to other accounts leaves items to a later run.
      const mayRead = () => results.mayRead() && isListSafe() && !(options.mustYield?.() ?? false)
      const given = { db, client, run, startedAt: head.at, isComparing, timing, signal, log }
      await readResults({ ...results, ...given, mayRead }).catch(endReading)
    }

    const result = await runSync({
      db,
      client,
      run,
      mode,
      acceptRemovals: options.acceptRemovals ?? false,
      pagesPerRun,
      timing,
      sizes,
      mayGo: options.mayGo,
      windowRest: options.windowRest ?? (() => null),
      mustYield: options.mustYield ?? (() => false),
      notesDue: results !== null,
      async onVerdict(head) {
        await readItems(head)
        if (results !== null) await noteComplete(db, run.account).catch(endReading)
      },
      counters,
      signal,
      log,
      onPage(page) {
        if (page.fault === null) latestTotal = page.total
        options.onPage?.(page)
      },
    })
    if (result.status === 'complete') {
      await readItems({ at: startedAt, requests: mode === 'full' ? LEAST_REFRESH_REQUESTS : counters.requests })
    }
    return result
  }

  /** Keeps the verdict of the list whatever happens to items afterwards, unless another worker has taken the account. */
  function endReading(error: unknown): void {
    if (error instanceof RunClosedError) throw error
    if (!signal.aborted)
      log.warn({ err: toRunError(error, options.databaseUrl) }, 'items of batches could not be stored')
  }

  try {
    const { status, reason, listedTotal, storedTotal, ...result } = await heart.orStalled(work())
    openUnread = result.openUnread
    ending = { ...NO_ENDING, status, listedTotal, storedTotal, statusReason: reason }
  } catch (thrown) {
    error = toRunError(thrown, options.databaseUrl)
    ending = { ...NO_ENDING, ...endingOf(error, options) }
  } finally {
    heart.stop()
    await client.close()
  }
  await closeRecord(options, run, { ...counters, ...ending }, log)
  // After the record is closed, because nothing counts the progress of the sums.
  if (error === null) {
    await refreshDailyTotals(db, run.account).catch((err: unknown) => log.warn({ err }, 'daily sums could not be kept'))
  }
  return { summary: { ...summarize({ ...options, mode }, run, startedAt, counters, ending), openUnread }, error }
}

/** How a run ended, without its counters. */
type Ending = Omit<RunEnd, keyof Counters>

const NO_ENDING = { listedTotal: null, storedTotal: null, statusReason: null, errorCode: null, errorMessage: null }

function endingOf(
  error: Error,
  { signal, redact }: Pick<RecordedRunOptions, 'signal' | 'redact'>,
): Pick<RunEnd, 'status' | 'errorCode' | 'errorMessage'> {
  if (signal.aborted) return { status: 'aborted', errorCode: 'stopped', errorMessage: 'The worker was asked to stop' }
  const isGivenUp = [RunClosedError, YieldError].some((kind) => error instanceof kind)
  const errorCode = errorCodeOf(error) ?? 'internal'
  return { status: isGivenUp ? 'aborted' : 'failed', errorCode, errorMessage: redact(messageOf(error)) }
}

/** The thrown value as an error of the boundary that it came from. */
function toRunError(thrown: unknown, databaseUrl: string): Error {
  if (thrown instanceof SpidraError || thrown instanceof RunClosedError) return thrown
  return toDatabaseError(thrown, databaseUrl) ?? (thrown instanceof Error ? thrown : new Error(String(thrown)))
}

/** Logs that a statement failed, for example by a collision with another client's, and is retried. */
function logRetry({ databaseUrl }: RecordedRunOptions, log: Logger): (error: unknown) => void {
  return (error) => log.warn({ err: toDatabaseError(error, databaseUrl) }, 'statement will be tried again')
}

function summarize(
  { account, mode }: RecordedRunOptions,
  run: RunKey | null,
  startedAt: number,
  // The order of the fields is the contract's.
  { seamsRepaired: _, waitedMs, ...counters }: Counters,
  ending: Pick<Ending, 'listedTotal' | 'storedTotal' | 'statusReason' | 'errorMessage'> & Pick<RunSummary, 'status'>,
): RunSummary {
  const { status, listedTotal, storedTotal } = ending
  const durationMs = Math.round(performance.now() - startedAt)
  const runId = run === null ? null : String(run.id)
  const reason = ending.statusReason ?? ending.errorMessage
  return {
    status,
    mode,
    account,
    runId,
    reason,
    ...counters,
    openUnread: 0,
    listedTotal,
    storedTotal,
    waitedMs: Math.round(waitedMs),
    durationMs,
  }
}

interface Heartbeat {
  /** Aborts when another worker closed the run, or the run no longer advances. */
  readonly stopped: AbortSignal
  /** The work, or StalledError once the run no longer advances: work that hangs may not hear the abort either. */
  orStalled<T>(work: Promise<T>): Promise<T>
  stop(): void
}

/**
 * Calls `beat` every `everyMs`, as long as the run advances: its counters change, or it waits for the request budget.
 *
 * @param options `announces`: the counter of waits grows by the length of each wait of this run when the wait begins.
 */
function startHeartbeat(
  run: RunKey,
  counters: Counters,
  beat: () => Promise<void>,
  options: {
    readonly everyMs: number
    readonly silenceMs: number
    readonly isWaiting: () => boolean
    readonly announces: boolean
  },
): Heartbeat {
  const { everyMs, silenceMs, isWaiting, announces } = options
  const stopper = new AbortController()
  let last = { ...counters }
  let silentUntil = performance.now() + silenceMs

  function isAdvancing(): boolean {
    const now = performance.now()
    const { waitedMs, ...others } = counters
    const announcedMs = announces ? waitedMs - last.waitedMs : 0
    const hasChanged = JSON.stringify(others) !== JSON.stringify({ ...last, waitedMs: undefined })
    if (hasChanged || announcedMs > 0 || isWaiting()) silentUntil = Math.max(silentUntil, now + silenceMs + announcedMs)
    last = { ...counters }
    return now < silentUntil
  }

  const timer = setInterval(() => {
    if (!isAdvancing()) return stopper.abort(new StalledError(run, silenceMs))
    beat().catch((error: unknown) => {
      // A database that is away also fails the merges, which report it.
      if (error instanceof RunClosedError) stopper.abort(error)
    })
  }, everyMs)

  return {
    stopped: stopper.signal,
    orStalled(work) {
      const { signal } = stopper
      const stalled = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => signal.reason instanceof StalledError && reject(signal.reason))
      })
      return Promise.race([work, stalled])
    },
    stop: () => clearInterval(timer),
  }
}

/** Ends of runs that could not be recorded, by pool and account. */
const leftRecords = new WeakMap<Database, Map<string, { readonly run: RunKey; readonly end: RunEnd }>>()

/** Closes the record that the account's last run of this process left: nobody else knows that it has ended. */
async function closeLeftRecord(pool: Database, db: Database, account: string): Promise<void> {
  const left = leftRecords.get(pool)?.get(account)
  if (left === undefined) return
  await finishRun(db, left.run, left.end)
  leftRecords.get(pool)?.delete(account)
}

/**
 * Closes the record of a run. It waits a few seconds for a database server that restarts. If the server stays away, the
 * next run of the account closes the record.
 *
 * @param options the signal ends the waiting, not the writing.
 */
export async function closeRecord(
  { db, signal }: { readonly db: Database; readonly signal: AbortSignal },
  run: RunKey,
  end: RunEnd,
  log: Logger,
): Promise<void> {
  try {
    const retryingDb = withRetries(db, { signal, reconnects: true })
    if (!(await finishRun(retryingDb, run, end))) log.warn('record of the run was closed by another worker')
  } catch (err) {
    log.warn({ err }, 'record of the run could not be closed; the next run closes it')
    const left = leftRecords.get(db) ?? new Map()
    leftRecords.set(db, left.set(run.account, { run, end }))
  }
}
