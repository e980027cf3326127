import { TIMING } from '../config/scale.js'

/** How old the last verdict may be before a table no longer counts as fresh. */
export interface FreshLimits {
  /** Of the schedule, between two runs. */
  readonly intervals: number
  /** However short the interval, in milliseconds. */
  readonly minMs: number
}

/** Three schedule intervals, at least 15 minutes. */
export const FRESH_LIMITS: FreshLimits = { intervals: 3, minMs: TIMING.freshMs }

/** The larger of the two, in milliseconds. */
export function toFreshLimitMs(intervalMs: number, { intervals, minMs }: FreshLimits = FRESH_LIMITS): number {
  return Math.max(minMs, intervals * intervalMs)
}
