import type { Micros } from './instant.js'
import { isLast, type Page } from './page.js'

/**
 * The part of the list that a stretch of pages shows whole: every listed job with `after < createdAt <= upTo` is on
 * one of its pages. Null: open, up to the newest or down to the end.
 */
export interface Window {
  readonly after: Micros | null
  readonly upTo: Micros | null
  /** `createdAt` of the newest job of page 1 where the window reaches up to it; else null. */
  readonly newest: Micros | null
}

/**
 * Where the window of a stretch begins. Below the head, jobs that tie with its first job may stand on the page above,
 * so they are not decided.
 */
export function windowTop(first: Page): Micros | null {
  return first.number === 1 || first.newest === null ? null : first.newest - 1n
}

/** Where the window ends for now: jobs that tie with the last one may go on below, until the list ends. */
export function windowBottom(last: Page): Micros | null {
  return isLast(last) ? null : last.oldest
}

/**
 * The upper bound of what is still undecided below a window that ended at `bottom`. It never rises again: the ties of
 * a stretch's first job stay undecided through all its pages.
 */
export function nextTop(top: Micros | null, bottom: Micros | null): Micros | null {
  if (top === null || bottom === null) return bottom
  return bottom < top ? bottom : top
}
