/**
 * The durations that decide how the service behaves, in milliseconds. They stand in one place, so that a test can scale
 * all of them by one factor and run a day of the real service in minutes.
 */
export interface Timing {
  /** A full pass reads the head and the open jobs again at least this often, as if the incremental schedule went on. */
  readonly refreshMs: number
  /** An incremental run reads a slice of the sweep once in each period of this length. */
  readonly sweepEveryMs: number
  /** A wait of this length makes what a full pass read before it old. */
  readonly longWaitMs: number
  /** A full pass over stored jobs saves its position no more often: each save is a write. */
  readonly savePositionMs: number
  /** No page waits longer for its chunk to fill: a killed worker loses no more than that. */
  readonly chunkWaitMs: number
  readonly heartbeatMs: number
  /** No answer is assumed to be older than that: a replica or a cache behind the API may lag, but not for longer. */
  readonly staleAnswerMs: number
  /** However short the schedule's interval, a verdict this old still counts as fresh. */
  readonly freshMs: number
  /** A holder of the account lock that has been silent for longer is stopped or cut off. Four times the heartbeat. */
  readonly deadAfterMs: number
  /** The age of the last verdict needs no run to end: alerts are checked at least this often. */
  readonly alertCheckMs: number
  /** The schedules compare the clock with the monotonic clock this often: timers do not notice a clock that was set. */
  readonly clockCheckMs: number
  /** A clock that gained or lost this much between two checks was set, or the machine slept. */
  readonly clockJumpMs: number
  /** A tick that is later than this is logged. */
  readonly lateTickMs: number
  /** Jitter of a wait for the request budget, so that workers behind one address do not come back in the same instant. */
  readonly budgetJitterMs: number
  /** The end of a rate limit window is known no better than this. */
  readonly resetBlurMs: number
  /** Pause before asking again whether a window is over that, by its reset, should be. */
  readonly doubtPauseMs: number
  /** No backoff of our own is longer. What the API asks for may be. */
  readonly maxBackoffMs: number
  /** Jitter on top of a wait that the API asks for. */
  readonly retryAfterJitterMs: number
}

export const TIMING: Timing = Object.freeze({
  refreshMs: 5 * 60_000,
  sweepEveryMs: 60 * 60_000,
  longWaitMs: 5_000,
  savePositionMs: 2_000,
  chunkWaitMs: 1_000,
  heartbeatMs: 15_000,
  staleAnswerMs: 60_000,
  freshMs: 15 * 60_000,
  deadAfterMs: 60_000,
  alertCheckMs: 30_000,
  clockCheckMs: 5_000,
  clockJumpMs: 5_000,
  lateTickMs: 10_000,
  budgetJitterMs: 50,
  resetBlurMs: 2_000,
  doubtPauseMs: 1_000,
  maxBackoffMs: 30_000,
  retryAfterJitterMs: 500,
})

/** The same durations, each multiplied by `factor`; below 1 the service runs faster than real time. */
export function scaleTiming(timing: Timing, factor: number): Timing {
  const scaled: { -readonly [Name in keyof Timing]: number } = { ...timing }
  for (const name of Object.keys(timing) as (keyof Timing)[]) scaled[name] = timing[name] * factor
  return Object.freeze(scaled)
}

/** The most jobs that the API lists on one page. */
export const PAGE_LIMIT = 50

/**
 * The sizes that decide what a run does. They are parameters, because a limit that a test never reaches is untested: the
 * tests draw them small.
 */
export interface SyncSizes {
  /** Jobs per page. */
  readonly pageLimit: number
  /** Answers that share one window: one query for missing jobs over many pages costs no more than over a few. */
  readonly windowAnswers: number
  /**
   * Pages in one merge. A killed worker loses at most this number under way, as many that wait, and the answers of one
   * window.
   */
  readonly chunkPages: number
  /** A full pass reads this number of pages between two reads of the head, however often the head is due. */
  readonly minSlicePages: number
  /** An account of at most this number of pages is read whole in every run. */
  readonly smallPages: number
}

/** Windows as large as chunks, because a pass that is cut off goes on from its last window. */
export const SYNC_SIZES: SyncSizes = Object.freeze({
  pageLimit: PAGE_LIMIT,
  windowAnswers: 6,
  chunkPages: 6,
  minSlicePages: 20,
  smallPages: 4,
})
