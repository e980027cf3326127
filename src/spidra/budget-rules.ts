import type { RateLimit } from './rate-limit-headers.js'

/** How exactly the end of a window is known, in milliseconds. */
export interface WindowTiming {
  /**
   * A reset is given in whole seconds, and an answer takes time to arrive: the end of a window is known no better than
   * this.
   */
  readonly resetBlurMs: number
  /** Pause before the next probe when an answer shows that a window goes on although its reset has passed. */
  readonly doubtPauseMs: number
}

/** What is known of the current rate limit window. Immutable: every function here returns a new one. */
export interface BudgetWindow {
  readonly timing: WindowTiming
  /** Counts the windows, from 1. */
  readonly number: number
  /** Requests per window, for all clients at this address together; null: no limit is known. */
  readonly limit: number | null
  /**
   * The smallest `remaining` that an answer reported in this window; while `needsProbe`, in the one before. Null: none
   * was reported.
   */
  readonly remaining: number | null
  /** Our requests in this window, including those in flight. An upper bound. */
  readonly ours: number
  readonly inFlight: number
  /** How many in flight were sent before the last answer came: their figures may be older than that answer's. */
  readonly sentBeforeLastAnswer: number
  /** How many of ours were sent so near the reported end that they may count for the next window. */
  readonly sentNearEnd: number
  /** When the window ends, epoch ms; null until an answer has come in it. */
  readonly endsAt: number | null
  /** No request may be sent before this time, epoch ms. */
  readonly blockedUntil: number
  /** No answer has reported on this window yet: one request is sent as a probe, and the others wait for its answer. */
  readonly needsProbe: boolean
}

/** The outcome of one request, as far as the budget is concerned. */
export interface BudgetAnswer {
  /** Null: the answer reported no budget, or there was no answer. */
  readonly rateLimit: RateLimit | null
  /** Whether it was a 429. */
  readonly isRateLimited: boolean
  readonly retryAfterMs: number | null
}

/** Whether a request may be sent now. `resumeAt`, epoch ms, is null if it depends on an answer still in flight. */
export type SendDecision = { readonly mayGo: true } | { readonly mayGo: false; readonly resumeAt: number | null }

/** The state before the first request. */
export function firstWindow(limit: number | null, timing: WindowTiming): BudgetWindow {
  const counts = { ours: 0, inFlight: 0, sentBeforeLastAnswer: 0, sentNearEnd: 0 }
  return { timing, number: 1, limit, remaining: null, ...counts, endsAt: null, blockedUntil: 0, needsProbe: true }
}

/**
 * The number of requests of a window that we may use. At least one, so that a tiny limit does not stop the sync for
 * good.
 */
export function shareOf(limit: number, reserve: number): number {
  // In floating point 300 * (1 - 0.9) is slightly less than 30.
  return Math.max(1, Math.floor(limit * (1 - reserve) + 1e-9))
}

/**
 * Whether this number of requests is left for us in the window, or our whole share of a window if that is fewer. The
 * caller has checked that a request may be sent at all.
 */
export function hasRoomFor(window: BudgetWindow, requests: number, reserve: number): boolean {
  const { limit, remaining, ours, inFlight, needsProbe } = window
  if (limit === null) return true
  // Only a request can find out what this window has. If none were sent, it would never become known.
  if (needsProbe) return inFlight === 0
  const share = shareOf(limit, reserve)
  return Math.min(share - ours, (remaining ?? limit) - inFlight) >= Math.min(requests, share)
}

/**
 * Decides whether a request may be sent.
 *
 * The reserve is for other clients, and what they use is taken from it first. With others = limit - remaining - ours, a
 * request may be sent while remaining > max(0, reserve * limit - others). After substituting others, that is remaining
 * > 0 and ours < (1 - reserve) * limit. So we never use more than our share, whatever others do; and others who use
 * more than their reserve cannot starve us, because we use what they leave.
 *
 * `remaining` is as of the last answer. The server may or may not have counted the requests in flight, so they are
 * subtracted. They are subtracted twice, because others may be sending as many: near the end of a budget our requests
 * go one by one, so that a burst of others makes one of ours fail and not several.
 */
export function decideSending(window: BudgetWindow, reserve: number, now: number): SendDecision {
  const { limit, remaining, ours, inFlight, endsAt, blockedUntil, needsProbe } = window
  if (now < blockedUntil) return { mayGo: false, resumeAt: blockedUntil }
  if (needsProbe) return inFlight === 0 ? { mayGo: true } : { mayGo: false, resumeAt: null }
  // One request is kept for the probe of the next window: what is sent near the end may count for that window too.
  const kept = isNearEnd(window, now) ? 1 : 0
  if (limit !== null && ours + kept >= shareOf(limit, reserve)) return { mayGo: false, resumeAt: endsAt }
  if (remaining === null || remaining > 2 * inFlight) return { mayGo: true }
  return { mayGo: false, resumeAt: inFlight > 0 ? null : endsAt }
}

/**
 * Moves on to the next window if the end of this one has passed. The next one is assumed to be full once a probe has
 * confirmed it. Requests in flight, and those sent near the end, may count for it.
 */
export function rollWindow(window: BudgetWindow, now: number): BudgetWindow {
  const { endsAt, inFlight, sentNearEnd, remaining } = window
  if (endsAt === null || now < endsAt) return window
  return { ...nextWindow(window, inFlight + sentNearEnd), remaining, needsProbe: true }
}

/** The window after one more request was sent. */
export function afterSending(window: BudgetWindow, now: number): BudgetWindow {
  const { ours, inFlight, sentNearEnd } = window
  const isLate = isNearEnd(window, now)
  return { ...window, ours: ours + 1, inFlight: inFlight + 1, sentNearEnd: sentNearEnd + (isLate ? 1 : 0) }
}

/**
 * The window after a request has ended.
 *
 * @param windowMs length of a window whose end the API does not report.
 */
export function afterAnswer(before: BudgetWindow, answer: BudgetAnswer, now: number, windowMs: number): BudgetWindow {
  const rolled = rollWindow(before, now)
  const inFlight = Math.max(0, rolled.inFlight - 1)
  const window = { ...rolled, inFlight }
  const { rateLimit } = answer
  const updated = rateLimit === null ? window : afterReport(window, rateLimit, now, windowMs)
  if (answer.isRateLimited) return { ...afterRefusal(updated, answer, now, windowMs), sentBeforeLastAnswer: inFlight }
  if (rateLimit !== null) return { ...updated, sentBeforeLastAnswer: inFlight }
  const sentBeforeLastAnswer = Math.min(updated.sentBeforeLastAnswer, inFlight)
  return { ...afterNoReport(updated, now, windowMs), sentBeforeLastAnswer }
}

/**
 * Applies the budget that an answer reported.
 *
 * Within a window `remaining` only falls, so the smallest value is the latest, in whatever order the answers come. A
 * rise means a new window, unless the answer may be an old one that arrived late. A reset that moves forward by more
 * than half a window means a new window too. One that lies as far back belongs to the window before: no answer is that
 * late. A smaller move proves nothing: slow answers cause it, and servers with a sliding window.
 */
function afterReport(window: BudgetWindow, report: RateLimit, now: number, windowMs: number): BudgetWindow {
  const { remaining, endsAt, inFlight, sentBeforeLastAnswer, needsProbe } = window
  const reportedEnd = now + (report.resetInMs ?? windowMs)
  const movedMs = report.resetInMs === null || remaining === null ? 0 : reportedEnd - (endsAt ?? reportedEnd)
  const farMs = Math.max(windowMs / 2, window.timing.resetBlurMs)
  const hasRisen = sentBeforeLastAnswer === 0 && remaining !== null && report.remaining > remaining
  if (movedMs < -farMs) return window
  if (!needsProbe) {
    const isNext = hasRisen || movedMs > farMs
    return withReport(isNext ? nextWindow(window, inFlight + 1) : window, report, reportedEnd)
  }
  if (sentBeforeLastAnswer > 0) return window
  // The answer itself says that the old window is not over: the clocks differ, or its end was rounded down.
  if (report.resetInMs === 0 && !hasRisen) return { ...window, blockedUntil: now + window.timing.doubtPauseMs }
  return withReport({ ...window, remaining: null, needsProbe: false }, report, reportedEnd)
}

/**
 * Enters the reported figures. `ours` cannot exceed limit - remaining, the requests of all clients: that corrects it.
 */
function withReport(window: BudgetWindow, { limit, ...report }: RateLimit, reportedEnd: number): BudgetWindow {
  const isFirst = window.remaining === null
  const remaining = Math.min(window.remaining ?? report.remaining, report.remaining)
  const ours = Math.min(window.ours, Math.max(0, limit - remaining) + window.inFlight)
  const endsAt = isFirst ? reportedEnd : Math.min(window.endsAt ?? reportedEnd, reportedEnd)
  return { ...window, limit, remaining, ours, endsAt }
}

/**
 * Blocks all requests after a 429, for the time that it asks for. Without such a time the block lasts a whole window,
 * because nobody knows when the current one began. This holds also if no limit is configured: a 429 proves that the API
 * has one. A probe follows. A 429 that reports remaining requests had another cause, so the window goes on.
 */
function afterRefusal(window: BudgetWindow, answer: BudgetAnswer, now: number, windowMs: number): BudgetWindow {
  const { rateLimit, retryAfterMs } = answer
  const waitMs = [retryAfterMs, rateLimit?.resetInMs].find((hint) => (hint ?? 0) > 0) ?? windowMs
  const blockedUntil = Math.max(window.blockedUntil, now + waitMs)
  const isSpent = (rateLimit?.remaining ?? 0) === 0
  return { ...window, needsProbe: true, blockedUntil, endsAt: isSpent ? blockedUntil : window.endsAt }
}

/** An answer without figures keeps what is known. If nothing is known, only our own requests are counted. */
function afterNoReport(window: BudgetWindow, now: number, windowMs: number): BudgetWindow {
  const { limit, remaining, endsAt, sentBeforeLastAnswer, needsProbe } = window
  if (needsProbe && sentBeforeLastAnswer > 0) return window
  const isEndUnknown = endsAt === null
  return {
    ...window,
    remaining: isEndUnknown ? null : remaining,
    endsAt: isEndUnknown && limit !== null ? now + windowMs : endsAt,
    needsProbe: false,
  }
}

/** Whether a request sent now may count for the next window. */
function isNearEnd({ remaining, endsAt, timing }: BudgetWindow, now: number): boolean {
  return remaining !== null && endsAt !== null && now >= endsAt - timing.resetBlurMs
}

function nextWindow(window: BudgetWindow, ours: number): BudgetWindow {
  const { number, inFlight } = window
  const counts = { ours, sentBeforeLastAnswer: inFlight, sentNearEnd: 0 }
  return { ...window, ...counts, number: number + 1, remaining: null, endsAt: null }
}
