import type { Logger } from '../logging/logger.js'
import type { RunSummary } from '../sync/run-summary.js'
import { watchBudgetPause } from './budget-pause.js'
import type { RunFailure, RunQueue, TakenRun } from './run-queue.js'

/** Between two looks into the queue, in milliseconds. */
const LOOK_EVERY_MS = 1_000

/** So that workers that started together do not look together. */
const JITTER_MS = 250

/** A slice is over after so long, in milliseconds; the queue gives up on it a minute later. */
const SLICE_MS = 4 * 60_000

/** What is still due after a skip is so again after so many seconds. */
const AGAIN_SECONDS = 30

/** How a run ended. */
export interface FleetRunEnd {
  readonly summary: Pick<RunSummary, 'status' | 'reason'>
  /** Null unless it failed, or was aborted. */
  readonly failure: RunFailure | null
  /** It was skipped, and what it was to do will not be done by the run under way. */
  readonly isStillDue: boolean
}

export interface FleetWorkerOptions {
  readonly queue: RunQueue
  /** Runs at a time. */
  readonly slots: number
  /** Whether this machine has requests for so many runs at a time; one taken without would only hold its account. */
  readonly hasBudgetFor: (runs: number) => boolean
  /** Whether so many runs would soon wait for requests for long, while another machine may have some. */
  readonly wouldWait: (runs: number) => boolean
  /** Until there is budget for so many runs, in milliseconds; 0 when there is. */
  readonly pausedForMs: (runs: number) => number
  /** Hears when that begins, and when it is over. */
  readonly onPause?: (isPaused: boolean) => void
  /** Hears that the number of runs under way has changed. */
  readonly onChange?: () => void
  /** The accounts that this process can run, as of now. Runs of others are left to other workers. */
  readonly accounts: () => readonly string[]
  /** `mustHandOn` says that the slice is over, by its time or because of the budget. */
  readonly run: (run: TakenRun, signal: AbortSignal, mustHandOn: () => boolean) => Promise<FleetRunEnd>
  readonly log: Logger
  /** Default four minutes. */
  readonly sliceMs?: number
}

export interface FleetWorker {
  /** Runs under way. */
  readonly running: number
  /** For how long it takes none for want of budget, in milliseconds; 0 when it takes some, or every slot is in use. */
  readonly pauseMs: number
  /** Takes nothing more, aborts what is under way, puts it back, and waits for that. */
  stop(): Promise<void>
}

/**
 * Takes runs off the queue, those that have waited longest first, as many at a time as there are slots and only while
 * there is budget. So a slow account takes one slot, for one slice at a time, and never keeps others waiting while a
 * worker is free.
 */
export function startFleetWorker(options: FleetWorkerOptions): FleetWorker {
  const { queue, slots, accounts, hasBudgetFor, wouldWait, log, sliceMs = SLICE_MS } = options
  const { pausedForMs, onPause = () => {}, onChange = () => {} } = options
  const stopper = new AbortController()
  const { signal } = stopper
  const underWay = new Set<Promise<void>>()
  const lookForPause = watchBudgetPause({ log, onPause })
  let wake = () => {}
  let isReachable = true

  async function look(): Promise<void> {
    while (!signal.aborted) {
      lookForPause(pauseMs())
      const most = room()
      if (most > 0) await takeUpTo(most)
      if (!signal.aborted) await pause(LOOK_EVERY_MS + Math.random() * JITTER_MS)
    }
  }

  function pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** With every slot in use there is nothing to wait for. */
  function pauseMs(): number {
    return underWay.size < slots ? pausedForMs(underWay.size + 1) : 0
  }

  /** How many more runs there are slots and budget for. */
  function room(): number {
    let more = slots - underWay.size
    while (more > 0 && !hasBudgetFor(underWay.size + more)) more -= 1
    return more
  }

  async function takeUpTo(most: number): Promise<void> {
    try {
      for (const taken of await queue.take(most, accounts())) begin(taken)
      isReachable = true
    } catch (err) {
      // The database is away: that is told once, and every second is often enough to ask.
      if (isReachable && !signal.aborted) log.warn({ err }, 'queue does not answer')
      isReachable = false
    }
  }

  function begin(taken: TakenRun): void {
    const work = execute(taken)
      .catch((err: unknown) =>
        log.warn({ err, account: taken.account }, 'end of a run could not be noted in the queue'),
      )
      .finally(() => {
        underWay.delete(work)
        onChange()
        // A slot is free, and the next run may have waited for it.
        wake()
      })
    underWay.add(work)
    onChange()
  }

  async function execute(taken: TakenRun): Promise<void> {
    const startedAt = performance.now()
    const mustHandOn = () => performance.now() - startedAt >= sliceMs || wouldWait(underWay.size)
    const end = await options.run(taken, signal, mustHandOn)
    await settle(taken, end)
  }

  /** First what follows, then the end: a death in between leaves a run too many, which finds nothing to do. */
  async function settle(taken: TakenRun, { summary: { status }, failure, isStillDue }: FleetRunEnd): Promise<void> {
    if (status === 'failed' && failure !== null) return queue.fail(taken, failure)
    const isHandedOn = status === 'aborted' && (failure?.code === 'handed_on' || failure?.code === 'stopped')
    // Of an account that was taken out meanwhile, nobody would run the rest.
    if (isHandedOn && accounts().includes(taken.account)) await queue.put(taken)
    if (isStillDue) await queue.put(taken, { afterSeconds: AGAIN_SECONDS })
    await queue.finish(taken)
  }

  const looking = look()

  return {
    get running() {
      return underWay.size
    },
    get pauseMs() {
      return pauseMs()
    },
    async stop() {
      stopper.abort(new Error('The worker was told to stop'))
      wake()
      await looking
      await Promise.all(underWay)
    },
  }
}
