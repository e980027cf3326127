import { fingerprintOf } from '../db/rejected-jobs.js'
import type { Micros } from './instant.js'
import type { Page } from './page.js'
import { nextTop, type Window, windowBottom, windowTop } from './window.js'

/** What a window lists. */
export interface Listed {
  readonly uuids: readonly string[]
  /** Fingerprints of items without a readable uuid: each may be any job. */
  readonly nameless: ReadonlySet<string>
}

/** Pages joined by sound seams, and what of the part of the list that they show is still undecided. */
export interface Stretch {
  /** Adds the page below. `isOverlapping`: the two share a job. */
  add(lower: Page, isOverlapping: boolean): void
  /** Whether all its pages overlap, which proves what it lists however old each answer is. */
  readonly isOverlapping: boolean
  /** Whether the pages are sorted, each below the one before. Only then they make a window. */
  readonly isSorted: boolean
  /** Answers since the last window. */
  readonly answers: number
  /** The window down to the last page, and what is listed in it. It is decided with this call. */
  takeWindow(): Window & Listed
}

/** Begins a stretch with a page. Memory holds what may tie with the undecided part, not the whole list. */
export function createStretch(first: Page): Stretch {
  const listed = new Map<string, Micros>()
  /** Items without a readable date may stand for a job anywhere. */
  const undated = new Set<string>()
  const nameless = new Set<string>()
  let top = windowTop(first)
  let last = first
  let isSorted = true
  let isOverlapping = true
  let answers = 0

  function note(page: Page): void {
    isSorted &&= page.isSorted
    for (const [index, { uuid }] of page.jobs.entries()) listed.set(uuid, page.instants[index] ?? 0n)
    for (const { uuid, payload } of page.rejections) {
      if (uuid === null) nameless.add(fingerprintOf(payload))
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
      isSorted &&= sharesJobs || lower.newest === null || last.newest === null || lower.newest <= last.newest
      last = lower
    },
    get isOverlapping() {
      return isOverlapping
    },
    get isSorted() {
      return isSorted
    },
    get answers() {
      return answers
    },
    takeWindow() {
      const bottom = windowBottom(last)
      // As long as all ties with the first job of page 1, a job that came later may be missing from an older answer.
      const isOpen = first.number === 1 && (top === null || top === first.newest)
      const newest = isOpen ? first.newest : null
      const window = { after: bottom, upTo: top, newest, uuids: [...listed.keys(), ...undated], nameless }
      top = nextTop(top, bottom)
      answers = 0
      for (const [uuid, createdAt] of listed) if (top === null || createdAt > top) listed.delete(uuid)
      return window
    },
  }
}
