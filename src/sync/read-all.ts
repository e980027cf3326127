import { keepDailyTotals } from '../db/daily-totals.js'
import { type FullPosition, openFullPosition } from './full-position.js'
import { isOurList, reachCoveredGround } from './head.js'
import type { Micros } from './instant.js'
import { HandedOnError } from './interruptions.js'
import { rereadOpenJobs } from './open-jobs.js'
import type { Page } from './page.js'
import type { Pass } from './pass.js'
import { openAllowance } from './plan.js'
import { askAbove } from './position.js'
import { type WalkEnd, walkDown } from './walk.js'

/**
 * Reads every page, to the end of the list; a pass that was cut off goes on from where it was. After every wait for the
 * request budget, and at least every `refreshMs`, it reads the head and the open jobs again, so that they stay fresh
 * however long the whole takes.
 *
 * @param first an answer for page 1.
 * @throws HandedOnError when the pass was told to stop, and another worker should go on.
 */
export async function readWholeList(pass: Pass, first: Page): Promise<Exclude<WalkEnd, 'until' | 'gap'>> {
  const position = openFullPosition(pass)
  let head = first
  for (;;) {
    const end = await readSlice(pass, position, head)
    await pass.writer.drain()
    // A first pass may wait for its budget for hours, and the days that it has read would be aggregated live until then.
    await keepDailyTotals(pass.db, pass.run.account)
    if (end === 'gap') {
      if (!pass.acceptsMassRemoval && !(await isOurList(pass, head))) return 'strange'
      pass.log.info('too much is new at the head to be held back: reading the list like the first time')
      await position.reset()
    } else if (end !== 'until') {
      return end
    }
    // Not after a gap: there the position is the top, and nothing was won yet.
    if (end === 'until' && pass.mustHandOn()) throw new HandedOnError()
    head = await pass.ask(1)
  }
}

/** Goes on from the position until the list ends, or the head is due again. */
async function readSlice(pass: Pass, position: FullPosition, head: Page): Promise<WalkEnd> {
  let start = head
  if (position.at !== null) {
    const reached = await reachCoveredGround(pass, head)
    if ('end' in reached) return reached.end
    await rereadOpenJobs(pass, reached.page, openAllowance(pass.pagesPerRun))
    start = await askAbove(pass, position.at)
  }
  await position.begin()
  return walkDown(pass, start, {
    isFirstPass: pass.coverage.kind !== 'whole',
    isFull: true,
    until: sliceEnd(pass, position.at),
    onSwept: position.move,
  })
}

/**
 * Ends a slice when the head is due, or the pass is to be handed on. But never inside a tie that reaches down from where the slice began: it could not
 * go on from there, and would read the tie again for ever. Nor in an unsorted list, which has no positions at all; nor
 * above covered ground, where what is held back would be dropped and read again, for ever too.
 */
function sliceEnd(
  { counters, timing, sizes, doubts, mustHandOn }: Pass,
  from: Micros | null,
): (page: Page, touched: boolean) => boolean {
  const { pagesRead, waitedMs } = counters
  const startedAt = performance.now()
  return ({ oldest }, touched) => {
    if (!touched) return false
    if (doubts.has('unsorted')) return false
    if (from !== null && (oldest === null || oldest >= from)) return false
    if (mustHandOn()) return true
    if (counters.pagesRead - pagesRead < sizes.minSlicePages) return false
    return performance.now() - startedAt >= timing.refreshMs || counters.waitedMs - waitedMs >= timing.longWaitMs
  }
}
