import type { RateLimit } from './rate-limit-headers.js'

/** How exactly the end of a window is known, in milliseconds. */
export interface WindowTiming {
  /** Resets are given in whole seconds, and an answer takes time to come: an end is known no better than this. */
  readonly resetBlurMs: number
  /** Between two questions whether a window is over that, by its reset, should be. */
  readonly doubtPauseMs: number
}

/** What is known of the window under way. Every change makes a new one. */
export interface BudgetWindow {
  readonly timing: WindowTiming
  /** Counts the windows. */
  readonly number: number
  /** Requests of a window, of everyone at this address; null: no limit is known. */
  readonly limit: number | null
  /** The least that an answer has told in this window, or in the last one while `isUnsure`; null: nothing told. */
  readonly remaining: number | null
  /** Our requests in this window, those in flight among them: never too few. */
  readonly ours: number
  readonly inFlight: number
  /** How many in flight were sent before the last answer came: what they tell may be older than what it told. */
  readonly overtaken: number
  /** Ours that were sent so near the told end that they may count for the next window. */
  readonly late: number
  /** When the window is over, epoch ms; null until an answer has come in it. */
  readonly endsAt: number | null
  /** Nothing may go before, epoch ms. */
  readonly blockedUntil: number
  /** Nothing is known of this window yet, and much could be wrong: one request finds out, the others wait for it. */
  readonly isUnsure: boolean
}

/** What one request came to. */
export interface BudgetAnswer {
  /** Null: it told nothing, or there was no answer. */
  readonly rateLimit: RateLimit | null
  /** It was a 429. */
  readonly isRateLimited: boolean
  readonly retryAfterMs: number | null
}

/** Whether a request may go. `resumeAt`, epoch ms, is null where only an answer in flight can tell. */
export type Outlook = { readonly mayGo: true } | { readonly mayGo: false; readonly resumeAt: number | null }

/** Before the first request. */
export function firstWindow(limit: number | null, timing: WindowTiming): BudgetWindow {
  const counts = { ours: 0, inFlight: 0, overtaken: 0, late: 0 }
  return { timing, number: 1, limit, remaining: null, ...counts, endsAt: null, blockedUntil: 0, isUnsure: true }
}

/** How many requests of a window are ours. At least one: the smallest limit must not stop the sync for good. */
export function shareOf(limit: number, reserve: number): number {
  // 300 * (1 - 0.9) is a hair less than 30.
  return Math.max(1, Math.floor(limit * (1 - reserve) + 1e-9))
}

/** Whether the window, in which one may go, has so many requests for us, or as many as a whole one has. */
export function hasRoomFor(window: BudgetWindow, requests: number, reserve: number): boolean {
  const { limit, remaining, ours, inFlight, isUnsure } = window
  if (limit === null) return true
  // Only a request can find out what this window has; were none sent, nothing would ever be known of it.
  if (isUnsure) return inFlight === 0
  const share = shareOf(limit, reserve)
  return Math.min(share - ours, (remaining ?? limit) - inFlight) >= Math.min(requests, share)
}

/**
 * Decides whether a request may go.
 *
 * The reserve is for others, and what they take comes out of it first: with others = limit - remaining - ours, a request
 * may go while remaining > max(0, reserve * limit - others). Put in for others, that is remaining > 0 and
 * ours < (1 - reserve) * limit. So we never take more than our share, whatever others do; and others who take more than
 * their reserve cannot starve us, as we go on with whatever they leave.
 *
 * `remaining` is as of the last answer. What is in flight since may count already or not, so it is taken off; and taken
 * off once more, because others may be sending just as much: near the end of a budget requests go one by one, and a
 * burst of others meets one of ours there, not several.
 */
export function outlookOf(window: BudgetWindow, reserve: number, now: number): Outlook {
  const { limit, remaining, ours, inFlight, endsAt, blockedUntil, isUnsure } = window
  if (now < blockedUntil) return { mayGo: false, resumeAt: blockedUntil }
  if (isUnsure) return inFlight === 0 ? { mayGo: true } : { mayGo: false, resumeAt: null }
  // The next window begins with a request that finds out, whatever else turns out to count for it: one is kept for that.
  const kept = isNearEnd(window, now) ? 1 : 0
  if (limit !== null && ours + kept >= shareOf(limit, reserve)) return { mayGo: false, resumeAt: endsAt }
  if (remaining === null || remaining > 2 * inFlight) return { mayGo: true }
  return { mayGo: false, resumeAt: inFlight > 0 ? null : endsAt }
}

/**
 * The window as of `now`: when its end has passed, the next one, taken for full after one request has found out. What is
 * in flight, or was sent near the end, may count for the new window.
 */
export function rollWindow(window: BudgetWindow, now: number): BudgetWindow {
  const { endsAt, inFlight, late, remaining } = window
  if (endsAt === null || now < endsAt) return window
  return { ...nextWindow(window, inFlight + late), remaining, isUnsure: true }
}

/** The window after one more request was sent. */
export function afterSending(window: BudgetWindow, now: number): BudgetWindow {
  const { ours, inFlight, late } = window
  return { ...window, ours: ours + 1, inFlight: inFlight + 1, late: late + (isNearEnd(window, now) ? 1 : 0) }
}

/**
 * The window after a request has come to its end.
 *
 * @param windowMs length of a window whose end nobody tells.
 */
export function afterAnswer(before: BudgetWindow, answer: BudgetAnswer, now: number, windowMs: number): BudgetWindow {
  const rolled = rollWindow(before, now)
  const inFlight = Math.max(0, rolled.inFlight - 1)
  const window = { ...rolled, inFlight }
  const { rateLimit } = answer
  const told = rateLimit === null ? window : afterTold(window, rateLimit, now, windowMs)
  if (answer.isRateLimited) return { ...afterRefusal(told, answer, now, windowMs), overtaken: inFlight }
  if (rateLimit !== null) return { ...told, overtaken: inFlight }
  return { ...afterSilence(told, now, windowMs), overtaken: Math.min(told.overtaken, inFlight) }
}

/**
 * Takes in what an answer told.
 *
 * Within a window `remaining` only falls, so the least told is the latest, in whatever order answers come. A rise is a
 * new window, if the answer cannot be an old one come late. So is a reset that moves on by more than half a window, and
 * one that lies as far back is of the window before: no answer is that late. A reset that moves less proves nothing:
 * slow answers do that, and servers with a sliding window.
 */
function afterTold(window: BudgetWindow, told: RateLimit, now: number, windowMs: number): BudgetWindow {
  const { remaining, endsAt, inFlight, overtaken, isUnsure } = window
  const toldEndsAt = now + (told.resetInMs ?? windowMs)
  const movedMs = told.resetInMs === null || endsAt === null || remaining === null ? 0 : toldEndsAt - endsAt
  const farMs = Math.max(windowMs / 2, window.timing.resetBlurMs)
  const hasRisen = overtaken === 0 && remaining !== null && told.remaining > remaining
  if (movedMs < -farMs) return window
  if (!isUnsure) {
    const isNext = hasRisen || movedMs > farMs
    return withTold(isNext ? nextWindow(window, inFlight + 1) : window, told, toldEndsAt)
  }
  if (overtaken > 0) return window
  // By the answer's own word the old window is not over: clocks differ, or its end was rounded down.
  if (told.resetInMs === 0 && !hasRisen) return { ...window, blockedUntil: now + window.timing.doubtPauseMs }
  return withTold({ ...window, remaining: null, isUnsure: false }, told, toldEndsAt)
}

/** The told figures in place. All requests counted, limit - remaining, are no fewer than ours: that mends `ours`. */
function withTold(window: BudgetWindow, { limit, remaining: told }: RateLimit, toldEndsAt: number): BudgetWindow {
  const isFirst = window.remaining === null
  const remaining = Math.min(window.remaining ?? told, told)
  const ours = Math.min(window.ours, Math.max(0, limit - remaining) + window.inFlight)
  const endsAt = isFirst ? toldEndsAt : Math.min(window.endsAt ?? toldEndsAt, toldEndsAt)
  return { ...window, limit, remaining, ours, endsAt }
}

/**
 * After a 429 nothing goes for as long as it says, else for a whole window, because nobody knows when the one under way
 * began. That holds without a limit of our own, too: a 429 proves that the API has one. Then one request finds out. A
 * 429 with requests left was for something else, and the window goes on.
 */
function afterRefusal(window: BudgetWindow, answer: BudgetAnswer, now: number, windowMs: number): BudgetWindow {
  const { rateLimit, retryAfterMs } = answer
  const waitMs = [retryAfterMs, rateLimit?.resetInMs].find((hint) => hint != null && hint > 0) ?? windowMs
  const blockedUntil = Math.max(window.blockedUntil, now + waitMs)
  const isSpent = (rateLimit?.remaining ?? 0) === 0
  return { ...window, isUnsure: true, blockedUntil, endsAt: isSpent ? blockedUntil : window.endsAt }
}

/** An answer that tells nothing leaves what is known; where that is nothing, our own requests are counted alone. */
function afterSilence(window: BudgetWindow, now: number, windowMs: number): BudgetWindow {
  const { limit, remaining, endsAt, overtaken, isUnsure } = window
  if (isUnsure && overtaken > 0) return window
  const isUntold = endsAt === null
  return {
    ...window,
    remaining: isUntold ? null : remaining,
    endsAt: isUntold && limit !== null ? now + windowMs : endsAt,
    isUnsure: false,
  }
}

/** A request of now may count for the next window. */
function isNearEnd({ remaining, endsAt, timing }: BudgetWindow, now: number): boolean {
  return remaining !== null && endsAt !== null && now >= endsAt - timing.resetBlurMs
}

function nextWindow(window: BudgetWindow, ours: number): BudgetWindow {
  const { number, inFlight } = window
  return { ...window, number: number + 1, ours, overtaken: inFlight, late: 0, remaining: null, endsAt: null }
}
