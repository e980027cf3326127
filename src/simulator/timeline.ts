import { type Micros, wholeSecond } from './instant.js'
import { LONGEST_LIFE_MS } from './life.js'
import { drawShare, TRAIT, toIdentity } from './random.js'

/** When generated jobs were created. Job 0 is the oldest of the history. */
export interface Timeline {
  /** Never decreases from one number to the next. */
  createdAt(number: number): Micros
  /** How many jobs exist at an instant. */
  countAt(instant: Micros): number
}

export interface TimelineOptions {
  readonly seedKey: number
  /** Jobs of the history, all so much older than `epoch` that they are in their final state. */
  readonly jobs: number
  readonly epoch: Micros
  readonly historyDays: number
  readonly arrivalsPerMinute: number
  /** Share of the jobs that have the same createdAt as the job before. */
  readonly ties: number
  /** Share of the createdAt with a fraction of a second. */
  readonly fractions: number
  readonly speed: number
}

const MINUTE: Micros = 60_000_000
/** The largest distance of the jobs of a short history. */
const WIDEST_SLOT: Micros = 60 * MINUTE
/**
 * Jobs in a tie. More than a page, so that a page can begin and end inside a tie; bounded, so that its first job is
 * found fast.
 */
const LONGEST_TIE = 64

/**
 * Creates a timeline. Every job has its own slot of time and lies somewhere in it. So the jobs are in the order of
 * their numbers, and the number of jobs at an instant is found by a division.
 */
export function createTimeline(options: TimelineOptions): Timeline {
  const { seedKey, jobs, epoch, arrivalsPerMinute, ties, fractions } = options
  // A whole second: then a slot of whole seconds always contains one, and `fractions: 0` gives no fraction.
  const historyEnd = wholeSecond(epoch - Math.ceil((LONGEST_LIFE_MS * 1000) / options.speed))
  // After the epoch, so that the account begins with its history only.
  const firstArrival = epoch + 1
  const historySlot = slotOf(Math.min(WIDEST_SLOT, (options.historyDays * 24 * 60 * MINUTE) / Math.max(1, jobs)))
  const arrivalSlot = slotOf(MINUTE / arrivalsPerMinute)

  function isTied(number: number): boolean {
    if (number % LONGEST_TIE === 0 || number === jobs) return false
    return drawShare(toIdentity(seedKey, number), TRAIT.tie) < ties
  }

  function createdAt(number: number): Micros {
    let first = number
    while (isTied(first)) first -= 1

    const identity = toIdentity(seedKey, first)
    const slot = first < jobs ? historySlot : arrivalSlot
    const start = first < jobs ? historyEnd - (jobs - first) * slot : firstArrival + (first - jobs) * slot
    const instant = start + Math.floor(drawShare(identity, TRAIT.instant) * slot)
    // If the slot holds no whole second, the fraction stays: without it the job would lie before its neighbour.
    const whole = wholeSecond(instant)
    return drawShare(identity, TRAIT.fraction) >= fractions && whole >= start ? whole : instant
  }

  function countAt(instant: Micros): number {
    if (arrivalsPerMinute === 0 || instant < firstArrival) return jobs
    let count = jobs + Math.floor((instant - firstArrival) / arrivalSlot)
    if (createdAt(count) <= instant) count += 1
    while (count > jobs && isTied(count)) count += 1
    return count
  }

  return { createdAt, countAt }
}

function slotOf(width: Micros): Micros {
  return Math.max(1, Math.floor(width))
}
