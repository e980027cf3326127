/**
 * The durations that decide how the service behaves, in milliseconds. They stand in one place, so that a test can multiply
 * all of them by one factor and run a day of the real service in minutes.
 */
export interface Timing {
  /** A full pass reads the head and the open jobs again at least this often, as incremental runs would. */
  readonly refreshMs: number
  /** An incremental run reads a slice of the sweep once in each period of this length. */
  readonly sweepEveryMs: number
  /** A job is young for this long after its creation. A young job with failures is read like an open one: it may be retried. */
  readonly youngMs: number
  /** What a full pass has read counts as old after a wait of this length. */
  readonly longWaitMs: number
  /** Shortest time between two saves of the position of a full pass over stored jobs: each save is a write. */
  readonly savePositionMs: number
  /** Longest time that a page waits for its chunk to fill, so that a killed worker loses little. */
  readonly chunkWaitMs: number
  readonly heartbeatMs: number
  /** Longest time that an answer of the API may lag, because of a replica or a cache. */
  readonly staleAnswerMs: number
  /** A verdict of at most this age counts as fresh, even with a shorter schedule. */
  readonly freshMs: number
  /** A running record without a heartbeat for this time is closed by the next run. Four times `heartbeatMs`. */
  readonly deadAfterMs: number
  /** Alerts are checked at least this often, also while no run ends: the last verdict grows older. */
  readonly alertCheckMs: number
  /** The schedules compare the clock with the monotonic clock this often: timers do not notice a clock that was set. */
  readonly clockCheckMs: number
  /** A clock that is off by this much between two checks was set, or the machine slept. */
  readonly clockJumpMs: number
  /** A tick that is later than this is logged. */
  readonly lateTickMs: number
  /** Jitter of a wait for the request budget, so that workers behind one address do not continue at the same moment. */
  readonly budgetJitterMs: number
  /** How exactly the end of a rate limit window is known. */
  readonly resetBlurMs: number
  /** Pause between two requests that check whether a window whose reset has passed is over. */
  readonly doubtPauseMs: number
  /** Longest backoff of our own. A wait that the API asks for may be longer. */
  readonly maxBackoffMs: number
  /** Jitter on top of a wait that the API asks for. */
  readonly retryAfterJitterMs: number
  /** Pause before a batch whose items could not be read is asked for again. It doubles with each attempt, up to a day. */
  readonly resultsPauseMs: number
  readonly longestResultsPauseMs: number
}

export const TIMING: Timing = Object.freeze({
  refreshMs: 5 * 60_000,
  sweepEveryMs: 60 * 60_000,
  youngMs: 15 * 60_000,
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
  resultsPauseMs: 5 * 60_000,
  longestResultsPauseMs: 24 * 60 * 60_000,
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
 * The sizes that decide what a run does. They are parameters, so that tests can choose small ones: a limit that no test
 * reaches is untested.
 */
export interface SyncSizes {
  /** Jobs per page. */
  readonly pageLimit: number
  /** Answers in one window. One query for missing jobs over many pages costs no more than over a few. */
  readonly windowAnswers: number
  /**
   * Pages in one merge. A killed worker loses at most the pages of one merge, the same number that wait for the next, and
   * the answers of one window.
   */
  readonly chunkPages: number
  /**
   * Bytes of listed jobs that a pass holds in memory, and sends to Postgres in one statement: a page or a job that is larger
   * goes alone.
   */
  readonly chunkBytes: number
  /** A full pass reads at least this number of pages between two reads of the head, even if the head is due sooner. */
  readonly minSlicePages: number
  /** An account of at most this number of pages is read completely in every run. */
  readonly smallPages: number
}

/** A window has the size of a chunk, because an interrupted pass continues from its last window. */
export const SYNC_SIZES: SyncSizes = Object.freeze({
  pageLimit: PAGE_LIMIT,
  windowAnswers: 6,
  chunkPages: 6,
  chunkBytes: 2 * 1024 * 1024,
  minSlicePages: 20,
  smallPages: 4,
})
