import type { Logger } from '../logging/logger.js'
import type { RunSummary } from '../sync/run-summary.js'
import type { RunFailure, RunQueue, TakenRun } from './run-queue.js'

/** Time between two polls of the queue, in milliseconds. */
const POLL_EVERY_MS = 1_000

/** Random addition to that, so that workers that started together do not poll together. */
const JITTER_MS = 250

/** A run yields its account after this time, in milliseconds. The queue gives up on the run a minute later. */
const SLICE_MS = 4 * 60_000

/** A full run that was skipped while it was still due is due again after this time, in seconds. */
const AGAIN_SECONDS = 30

/** How a run ended. */
export interface FleetRunEnd {
  readonly summary: Pick<RunSummary, 'status' | 'reason'>
  /** Null unless it failed, or was aborted. */
  readonly failure: RunFailure | null
  /** It was skipped, and the run under way does not do its work. */
  readonly isStillDue: boolean
}

export interface FleetWorkerOptions {
  readonly queue: RunQueue
  /** Most runs at a time. */
  readonly slots: number
  /** Whether the request budget of this machine has room for this number of runs at a time. */
  readonly hasBudgetFor: (runs: number) => boolean
  /** Whether this number of runs would soon wait long for requests, while another machine may have some. */
  readonly wouldWait: (runs: number) => boolean
  /** Time until the budget has room for this number of runs, in milliseconds; 0 when it has. */
  readonly pausedForMs: (runs: number) => number
  /** Called when a pause for want of budget begins, and when it ends. */
  readonly onPause?: (isPaused: boolean) => void
  /** Called when the number of runs under way has changed. */
  readonly onChange?: () => void
  /** The accounts that this process can run, as of now. It leaves runs of others to other workers. */
  readonly accounts: () => readonly string[]
  /** Runs once. `mustYield` says when the run should yield, because of its time or of the budget. */
  readonly run: (run: TakenRun, signal: AbortSignal, mustYield: () => boolean) => Promise<FleetRunEnd>
  readonly log: Logger
  /** Default four minutes. */
  readonly sliceMs?: number
}

export interface FleetWorker {
  /** Number of runs under way. */
  readonly running: number
  /** How long it takes no runs for want of budget, in milliseconds; 0 when it takes runs, or every slot is in use. */
  readonly pauseMs: number
  /** Takes no more runs, aborts those under way, puts them back into the queue, and waits for that. */
  stop(): Promise<void>
}

/**
 * Starts to take runs off the queue, the longest waiting first, while there are a free slot and budget. A run that would find
 * no budget is not taken: it would only hold its account. A slow account takes one slot for one slice at a time, so it never
 * keeps others waiting while a worker is free.
 */
export function startFleetWorker(options: FleetWorkerOptions): FleetWorker {
  const { queue, slots, accounts, hasBudgetFor, wouldWait, log, sliceMs = SLICE_MS } = options
  const { pausedForMs, onPause = () => {}, onChange = () => {} } = options
  const stopper = new AbortController()
  const { signal } = stopper
  const underWay = new Set<Promise<void>>()
  let wake = () => {}
  let isReachable = true
  let isPaused = false

  async function poll(): Promise<void> {
    while (!signal.aborted) {
      reportPause(pauseMs())
      const most = room()
      if (most > 0) await takeUpTo(most)
      if (!signal.aborted) await sleep(POLL_EVERY_MS + Math.random() * JITTER_MS)
    }
  }

  /** A worker that waits for its budget would otherwise look like one that has nothing to do. */
  function reportPause(ms: number): void {
    if (isPaused === ms > 0) return
    isPaused = ms > 0
    if (isPaused) log.info({ resumesAt: new Date(Date.now() + ms) }, 'takes no runs: request budget spent')
    else log.debug('takes runs again')
    onPause(isPaused)
  }

  function sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** With every slot in use, the worker waits for a slot and not for budget. */
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
      // The database is away: one line is enough, and so is one attempt a second.
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
        // The next run may have waited for this slot.
        wake()
      })
    underWay.add(work)
    onChange()
  }

  async function execute(taken: TakenRun): Promise<void> {
    const startedAt = performance.now()
    const mustYield = () => performance.now() - startedAt >= sliceMs || wouldWait(underWay.size)
    const end = await options.run(taken, signal, mustYield)
    await settle(taken, end)
  }

  /**
   * Puts the run that follows into the queue, then finishes this one. In this order a crash in between leaves a run too many,
   * which finds nothing to do.
   */
  async function settle(taken: TakenRun, { summary: { status }, failure, isStillDue }: FleetRunEnd): Promise<void> {
    if (status === 'failed' && failure !== null) return queue.fail(taken, failure)
    const goesOn = status === 'aborted' && (failure?.code === 'handed_on' || failure?.code === 'stopped')
    // If the account was removed meanwhile, no worker would take the rest.
    if (goesOn && accounts().includes(taken.account)) await queue.put(taken)
    if (isStillDue) await queue.put(taken, { afterSeconds: AGAIN_SECONDS })
    await queue.finish(taken)
  }

  const polling = poll()

  return {
    get running() {
      return underWay.size
    },
    get pauseMs() {
      return pauseMs()
    },
    async stop() {
      stopper.abort(new Error('The worker was asked to stop'))
      wake()
      await polling
      await Promise.all(underWay)
    },
  }
}
