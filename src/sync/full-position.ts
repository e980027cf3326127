import { NOTHING_COVERED } from './coverage.js'
import { type Micros, toMicros, toTimestamp } from './instant.js'
import type { Page } from './page.js'
import type { Pass } from './pass.js'

/** How far down a pass over the whole list has come; kept over restarts. */
export interface FullPosition {
  /** Everything above is read; null: nothing yet. */
  readonly at: Micros | null
  /** Notes that the pass begins, or goes on. `head`: its first answer for page 1. */
  begin(head: Page): Promise<void>
  /** Notes that everything down to `bottom` is read and merged; null: to the end of the list. */
  move(bottom: Micros | null): Promise<void>
  /** Notes that the pass is over. `head`: its last answer for page 1. */
  finish(head: Page): Promise<void>
  /** Begins anew from the top, as with nothing stored. */
  restart(): Promise<void>
}

/**
 * Opens the position of the pass. Of a first pass it is the bottom of the covered ground; a later pass has a position
 * of its own, and only that. `rereadSince` becomes the start of the pass when it is over.
 */
export function openFullPosition(pass: Pass): FullPosition {
  const { state } = pass
  let isFirst = pass.coverage.kind !== 'whole'
  let startedAt = state.fullStartedAt
  let at = pass.coverage.kind === 'down_to' ? pass.coverage.bottom : null
  if (!isFirst && state.fullCreatedAt !== null) at = toMicros(state.fullCreatedAt)
  let savedAt = Number.NEGATIVE_INFINITY

  return {
    get at() {
      return at
    },
    async begin(head) {
      if (isFirst && !pass.losesJobs && (pass.firstPass === null || pass.coverage.kind === 'none')) {
        pass.firstPass = firstPassOf(head)
        const { total, createdAt } = pass.firstPass
        await pass.save({ isWhole: false, passTotal: total, passCreatedAt: createdAt })
      }
      if (startedAt !== null) return
      startedAt = pass.now()
      await pass.save({ fullStartedAt: startedAt })
    },
    async move(bottom) {
      at = bottom
      if (pass.isUnproven) return
      if (bottom === null) {
        pass.coverage = { kind: 'whole' }
      } else if (isFirst) {
        pass.coverage = { kind: 'down_to', bottom }
        await pass.save({ bottomCreatedAt: toTimestamp(bottom) })
      } else if (performance.now() - savedAt >= pass.timing.savePositionMs) {
        savedAt = performance.now()
        await pass.save({ fullCreatedAt: toTimestamp(bottom) })
      }
    },
    async finish(head) {
      const proved = { passTotal: null, passCreatedAt: null }
      if (pass.losesJobs) pass.firstPass = null
      else if (pass.firstPass !== null) pass.firstPass = firstPassOf(head)
      await pass.save({
        isWhole: true,
        bottomCreatedAt: null,
        fullCreatedAt: null,
        fullStartedAt: null,
        ...(pass.firstPass === null
          ? proved
          : { passTotal: pass.firstPass.total, passCreatedAt: pass.firstPass.createdAt }),
        rereadSince: startedAt,
        sweepCreatedAt: null,
        sweepStartedAt: null,
        lastSweepAt: pass.now(),
      })
    },
    async restart() {
      isFirst = true
      at = null
      startedAt = null
      pass.firstPass = null
      pass.coverage = { kind: 'none' }
      await pass.save(NOTHING_COVERED)
    },
  }
}

function firstPassOf(head: Page): NonNullable<Pass['firstPass']> {
  return { total: head.total, createdAt: head.newest === null ? null : toTimestamp(head.newest) }
}
