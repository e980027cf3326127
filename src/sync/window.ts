import { listUnlisted } from '../db/batch-jobs-read.js'
import { countAsListedJobs } from '../db/rejected-jobs.js'
import { type Micros, toTimestamp } from './instant.js'
import { isLast, type Page } from './page.js'
import type { Pass } from './pass.js'

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
function windowTop(first: Page): Micros | null {
  return first.number === 1 || first.newest === null ? null : first.newest - 1n
}

/** What a window lists. */
export interface Listed {
  readonly uuids: readonly string[]
  /** Fingerprints of items without a readable uuid. Each may be any job. */
  readonly unidentified: ReadonlySet<string>
}

/** Pages joined by sound seams, and the jobs on them that have not been compared with the table yet. */
export interface Stretch {
  /** Adds the page below. `isOverlapping`: the two share a job. */
  add(lower: Page, isOverlapping: boolean): void
  /** Whether all its pages overlap, which proves what it lists however old each answer is. */
  readonly isOverlapping: boolean
  /**
   * Whether the pages are sorted, each below the one before, and a job shows where they stand. Only then they make a
   * window.
   */
  readonly isSorted: boolean
  /** Answers since the last window. */
  readonly answers: number
  /** The window down to the last page, and what is listed in it. It is decided with this call. */
  takeWindow(): Window & Listed
}

/** Begins a stretch with a page. It holds in memory only the jobs whose `createdAt` may recur further down. */
export function createStretch(first: Page): Stretch {
  const listed = new Map<string, Micros>()
  /** Items without a readable date may stand for a job anywhere. */
  const undated = new Set<string>()
  const unidentified = new Set<string>()
  /** The upper bound of what is still undecided. It never rises again: the ties of the first job stay undecided. */
  let top = windowTop(first)
  let last = first
  /** The lowest page with jobs. A page whose items are all rejected has no date, so it bounds no window. */
  let dated = first
  let isSorted = true
  let isOverlapping = true
  let answers = 0

  function note(page: Page): void {
    isSorted &&= page.isSorted
    for (const [index, uuid] of page.jobs.entries()) listed.set(uuid, page.instants[index] ?? 0n)
    for (const { uuid, fingerprint } of page.rejected) {
      if (uuid === null) unidentified.add(fingerprint)
      else undated.add(uuid)
    }
    answers += 1
  }
  note(first)

  return {
    add(lower, sharesJobs) {
      note(lower)
      isOverlapping &&= sharesJobs
      // A page that overlaps may also begin above.
      isSorted &&= sharesJobs || lower.newest === null || dated.newest === null || lower.newest <= dated.newest
      if (dated.newest === null && first.number !== 1) top = windowTop(lower)
      if (lower.newest !== null) dated = lower
      last = lower
    },
    get isOverlapping() {
      return isOverlapping
    },
    get isSorted() {
      return isSorted && (dated.newest !== null || (first.number === 1 && isLast(last)))
    },
    get answers() {
      return answers
    },
    takeWindow() {
      // Jobs that tie with the last one may go on below, until the list ends.
      const bottom = dated.oldest
      // While every job so far has the `createdAt` of page 1's first job, an older answer may lack a newer job.
      const newest = top === null || top === first.newest ? first.newest : null
      const window = {
        after: isLast(last) ? null : bottom,
        upTo: top,
        newest,
        uuids: [...listed.keys(), ...undated],
        unidentified,
      }
      if (bottom !== null && (top === null || bottom < top)) top = bottom
      answers = 0
      for (const [uuid, createdAt] of listed) if (top === null || createdAt > top) listed.delete(uuid)
      return window
    },
  }
}

// Stryker disable all: what follows reads the database. Its tests need Postgres, such as test/sync/nameless.test.ts.

/**
 * Collects the stored jobs inside the window that are not listed in it as missing. It collects none where an item without
 * a readable uuid may be one of them. Where the pages of the window do not overlap, such a job only shows that the list
 * loses jobs.
 */
export async function checkWindow(
  { db, run, list, writer, timing, newestStored }: Pass,
  { after, upTo, newest, uuids, unidentified }: Window & Listed,
  isOverlapping: boolean,
): Promise<void> {
  if (newestStored === null) return
  const settled = newest === null ? null : { newest: toTimestamp(newest), ageMs: timing.staleAnswerMs }
  const range = { after: textOf(after), upTo: textOf(upTo), settled }
  const unlisted = await listUnlisted(db, run.account, range, uuids)
  if (unlisted.length === 0) return
  if (unidentified.size > 0) {
    // What this run has changed in the quarantine must be there first.
    await writer.drain()
    if (!(await countAsListedJobs(db, run.account, unidentified))) return
  }
  await list.noteLoss()
  if (isOverlapping) for (const uuid of unlisted) list.missing.add(uuid)
}

function textOf(bound: Micros | null): string | null {
  return bound === null ? null : toTimestamp(bound)
}
