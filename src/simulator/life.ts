import { draw, drawBetween, drawShare, TRAIT } from './random.js'

/** The state of a job at one instant. */
export interface LifeState {
  readonly status: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled'
  readonly totalUrls: number
  readonly completedCount: number
  readonly failedCount: number
  /** Age at which it finished, in milliseconds; null while it is open. */
  readonly finishedMs: number | null
}

const MOST_URLS = 50
export const SHORTEST_QUEUE_MS = 2_000
const LONGEST_QUEUE_MS = 30_000
export const FASTEST_URL_MS = 1_000
const SLOWEST_URL_MS = 4_000
const LONGEST_PAUSE_MS = 300_000

/** Age in milliseconds at which every job is in its final state. */
export const LONGEST_LIFE_MS = LONGEST_QUEUE_MS + LONGEST_PAUSE_MS + 2 * MOST_URLS * SLOWEST_URL_MS

const CANCELLED_SHARE = 0.06
const FAILED_SHARE = 0.06
const IMPERFECT_SHARE = 0.3
const RETRIED_SHARE = 0.5

/**
 * Computes the state of a job at an age. It depends on nothing else, so the same call always gives the same state.
 *
 * A job goes from pending to running with rising counts, and then to completed, failed (every URL failed) or cancelled
 * (some URLs were never tried; those in progress still finish, so the counts change a little longer). Some completed
 * jobs with failures are retried after a pause: they run again without these failures, and then stay completed.
 */
export function lifeAt(identity: number, ageMs: number): LifeState {
  const totalUrls = drawBetween(identity, TRAIT.totalUrls, 1, MOST_URLS)
  const queuedMs = drawBetween(identity, TRAIT.queue, SHORTEST_QUEUE_MS, LONGEST_QUEUE_MS)
  const urlMs = drawBetween(identity, TRAIT.pace, FASTEST_URL_MS, SLOWEST_URL_MS)
  const fate = drawShare(identity, TRAIT.fate)
  const ranMs = ageMs - queuedMs

  if (ranMs < 0) return { status: 'pending', totalUrls, completedCount: 0, failedCount: 0, finishedMs: null }

  if (fate < CANCELLED_SHARE) {
    const cancelledMs = Math.floor(drawShare(identity, TRAIT.cancelledAt) * totalUrls * urlMs)
    const tried = Math.min(Math.floor(Math.min(ranMs, cancelledMs + 2 * urlMs) / urlMs), totalUrls - 1)
    const isOver = ranMs >= cancelledMs
    return counted(isOver ? 'cancelled' : 'running', totalUrls, tried, 0, isOver ? queuedMs + cancelledMs : null)
  }

  const failures = fate < CANCELLED_SHARE + FAILED_SHARE ? totalUrls : failuresOf(identity, totalUrls)
  const doneMs = totalUrls * urlMs
  if (ranMs < doneMs) {
    const tried = Math.floor(ranMs / urlMs)
    return counted('running', totalUrls, tried, Math.floor((tried * failures) / totalUrls), null)
  }
  if (failures === totalUrls) return counted('failed', totalUrls, totalUrls, totalUrls, queuedMs + doneMs)

  const retriedMs = doneMs + drawBetween(identity, TRAIT.retryPause, 30_000, LONGEST_PAUSE_MS)
  const isRetried = failures > 0 && drawShare(identity, TRAIT.retried) < RETRIED_SHARE
  if (!isRetried || ranMs < retriedMs) return counted('completed', totalUrls, totalUrls, failures, queuedMs + doneMs)

  const stillFailing = drawBetween(identity, TRAIT.retryFailures, 0, failures - 1)
  const retriedDoneMs = retriedMs + failures * urlMs
  if (ranMs >= retriedDoneMs) {
    return counted('completed', totalUrls, totalUrls, stillFailing, queuedMs + retriedDoneMs)
  }
  const triedAgain = Math.floor((ranMs - retriedMs) / urlMs)
  const failedAgain = Math.floor((triedAgain * stillFailing) / failures)
  return counted('running', totalUrls, totalUrls - failures + triedAgain, failedAgain, null)
}

/** The failures of a completed job: fewer than its URLs, because a job without a success is `failed`. */
function failuresOf(identity: number, totalUrls: number): number {
  if (totalUrls === 1 || drawShare(identity, TRAIT.failures) >= IMPERFECT_SHARE) return 0
  return 1 + (draw(identity, TRAIT.failures) % Math.ceil((totalUrls - 1) / 3))
}

function counted(
  status: LifeState['status'],
  totalUrls: number,
  tried: number,
  failedCount: number,
  finishedMs: number | null,
): LifeState {
  return { status, totalUrls, completedCount: tried - failedCount, failedCount, finishedMs }
}
