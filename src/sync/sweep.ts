import { type Micros, toMicros, toTimestamp } from './instant.js'
import type { Pass } from './pass.js'
import { askAbove } from './position.js'
import { walkDown } from './walk.js'

/**
 * Reads a slice of the list from where the last one ended, and wraps round at the end. It finds jobs that were
 * re-opened after they had ended. A slice that begins above a tie goes on to the end of the tie, because the next one
 * could not go on from inside it; one that ends on its way there leaves the whole tie to the next.
 *
 * @param allowance pages; fewer are read when the request budget is spent.
 */
export async function sweepSlice(pass: Pass, allowance: number): Promise<void> {
  const { sweepCreatedAt, sweepStartedAt } = pass.state
  const from = sweepCreatedAt === null ? null : toMicros(sweepCreatedAt)
  const startedAt = from === null || sweepStartedAt === null ? pass.now() : sweepStartedAt
  const spentBefore = pass.counters.pagesRead
  const start = from === null ? await pass.ask(1) : await askAbove(pass, from)

  const isSpent = () => pass.counters.pagesRead - spentBefore >= allowance || !pass.mayGo()
  const hasAdvanced = (oldest: Micros | null) => oldest !== null && (from === null || oldest < from)
  await walkDown(pass, start, {
    until: ({ oldest }) => isSpent() && hasAdvanced(oldest),
    onWindow: (bottom) => save(bottom),
  })
  await pass.drain()

  function save(bottom: Micros | null): Promise<void> {
    const lastSweepAt = pass.now()
    if (bottom !== null)
      return pass.save({ sweepCreatedAt: toTimestamp(bottom), sweepStartedAt: startedAt, lastSweepAt })
    return pass.save({ sweepCreatedAt: null, sweepStartedAt: null, rereadSince: startedAt, lastSweepAt })
  }
}
