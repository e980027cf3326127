import { type Micros, toMicros, toTimestamp } from './instant.js'
import { type KnownList, NOTHING_COVERED } from './known-list.js'
import type { Page } from './page.js'
import type { Pass } from './pass.js'

/** How far down a pass over the whole list has come; kept over restarts. */
export interface FullPosition {
  /** Everything above is read; null: nothing yet. */
  readonly at: Micros | null
  /** The pass read on below a seam that is not proved: from there on nothing is saved, and it proves nothing at its end. */
  readonly isBroken: boolean
  /** Notes that the pass begins, or goes on. `head`: its first answer for page 1. */
  begin(head: Page): Promise<void>
  /** Notes that everything down to `bottom` is read and merged, and proved or not; null: to the end of the list. */
  move(bottom: Micros | null, isProven: boolean): Promise<void>
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
  let isFirst = pass.list.coverage.kind !== 'whole'
  let startedAt = state.fullStartedAt
  let at = pass.list.coverage.kind === 'down_to' ? pass.list.coverage.bottom : null
  if (!isFirst && state.fullCreatedAt !== null) at = toMicros(state.fullCreatedAt)
  const isFromTop = at === null
  let savedAt = Number.NEGATIVE_INFINITY
  let isBroken = false

  return {
    get at() {
      return at
    },
    get isBroken() {
      return isBroken
    },
    async begin(head) {
      if (isFirst && !pass.list.losesJobs && (pass.list.firstPass === null || pass.list.coverage.kind === 'none')) {
        const { total, createdAt } = firstPassOf(head)
        pass.list.firstPass = { total, createdAt }
        await pass.writer.save({ isWhole: false, passTotal: total, passCreatedAt: createdAt })
      }
      await pass.list.noteMissingOverlaps()
      if (startedAt !== null) return
      startedAt = pass.now()
      await pass.writer.save({ fullStartedAt: startedAt })
    },
    async move(bottom, isProven) {
      // A walk begins above the position, with what is read already.
      if (at !== null && bottom !== null && bottom > at) return
      at = bottom
      isBroken ||= !isProven
      if (pass.list.isUnproven || isBroken) return
      if (bottom === null) {
        pass.list.coverage = { kind: 'whole' }
      } else if (isFirst) {
        pass.list.coverage = { kind: 'down_to', bottom }
        await pass.writer.save({ bottomCreatedAt: toTimestamp(bottom) })
      } else if (performance.now() - savedAt >= pass.timing.savePositionMs) {
        savedAt = performance.now()
        await pass.writer.save({ fullCreatedAt: toTimestamp(bottom) })
      }
    },
    async finish(head) {
      const proved = { passTotal: null, passCreatedAt: null }
      // A pass that went on from an earlier run's position proves nothing above it.
      if (pass.list.losesJobs && isFromTop && !pass.list.doubts.has('no_overlap')) pass.list.firstPass = null
      else if (pass.list.firstPass !== null) pass.list.firstPass = firstPassOf(head)
      await pass.writer.save({
        isWhole: true,
        bottomCreatedAt: null,
        fullCreatedAt: null,
        fullStartedAt: null,
        ...(pass.list.firstPass === null
          ? proved
          : { passTotal: pass.list.firstPass.total, passCreatedAt: pass.list.firstPass.createdAt }),
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
      pass.list.firstPass = null
      pass.list.coverage = { kind: 'none' }
      await pass.writer.save(NOTHING_COVERED)
    },
  }
}

function firstPassOf(head: Page): NonNullable<KnownList['firstPass']> {
  return { total: head.total, createdAt: head.newest === null ? null : toTimestamp(head.newest) }
}
