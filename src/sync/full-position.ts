import { type Micros, toMicros, toTimestamp } from './instant.js'
import type { Pass } from './pass.js'

/** How far down a pass over the whole list has come; kept over restarts. */
export interface FullPosition {
  /** Everything above is read; null: nothing yet. */
  readonly at: Micros | null
  /** Notes that the pass begins, or goes on. */
  begin(): Promise<void>
  /** Notes that everything down to `bottom` is read and merged; null: to the end of the list. */
  move(bottom: Micros | null): Promise<void>
  /** Begins anew from the top, with nothing covered. */
  reset(): Promise<void>
}

/**
 * Opens the position of the pass. Of a first pass it is the bottom of the covered ground; a later pass has a position
 * of its own, and only that. `rereadSince` becomes the start of the pass when it has reached the end of the list.
 */
export function openFullPosition(pass: Pass): FullPosition {
  const { state } = pass
  let startedAt = state.fullStartedAt
  let at = pass.coverage.kind === 'down_to' ? pass.coverage.bottom : null
  if (pass.coverage.kind === 'whole' && state.fullCreatedAt !== null) at = toMicros(state.fullCreatedAt)
  let notedAt = Number.NEGATIVE_INFINITY

  return {
    get at() {
      return at
    },
    async begin() {
      if (startedAt !== null) return
      startedAt = pass.now()
      await pass.save({ fullStartedAt: startedAt })
    },
    async move(bottom) {
      at = bottom
      if (bottom === null) return finish()
      if (pass.coverage.kind === 'whole') {
        if (performance.now() - notedAt < pass.timing.savePositionMs) return
        notedAt = performance.now()
        return pass.save({ fullCreatedAt: toTimestamp(bottom) })
      }
      pass.coverage = { kind: 'down_to', bottom }
      return pass.save({ bottomCreatedAt: toTimestamp(bottom) })
    },
    async reset() {
      at = null
      startedAt = null
      pass.coverage = { kind: 'none' }
      await pass.save({ isWhole: false, bottomCreatedAt: null, fullCreatedAt: null, fullStartedAt: null })
    },
  }

  async function finish(): Promise<void> {
    pass.coverage = { kind: 'whole' }
    await pass.save({
      isWhole: true,
      bottomCreatedAt: null,
      fullCreatedAt: null,
      fullStartedAt: null,
      rereadSince: startedAt,
      sweepCreatedAt: null,
      sweepStartedAt: null,
      lastSweepAt: pass.now(),
    })
  }
}
