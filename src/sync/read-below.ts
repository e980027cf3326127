import type { Page } from './page.js'
import type { Pass } from './pass.js'
import { isSoundSeam, joins } from './seam.js'

/** Seams that stay unsound for so many tries move faster than we read. */
const MAX_TRIES = 5

/** What was read to go on below a page. */
export interface Step {
  /** The page to go on from. */
  readonly lower: Page
  /** All answers, in the order they came; on a sound step all of them join what was read before. */
  readonly seen: readonly Page[]
  readonly isSound: boolean
}

/**
 * Reads the page below `page` so that nothing between the two can be missing.
 *
 * While the seam is unsound, the lower page is asked again, and every second time the upper one too. A page asked again
 * takes the place of its older answer only where it joins it; else the page above is read, up to the head.
 */
export async function readBelow(pass: Pass, page: Page): Promise<Step> {
  const seen: Page[] = []
  const ask = async (number: number) => {
    const answer = await pass.ask(number)
    seen.push(answer)
    return answer
  }

  let upper = page
  let lower = await ask(upper.number + 1)
  for (let tries = 1; !isSoundSeam(upper, lower); tries += 1) {
    // A faulty answer was asked for often enough by the client.
    if (tries > MAX_TRIES || upper.fault !== null || lower.fault !== null) return { lower, seen, isSound: false }
    if (tries === 1) pass.counters.seamsRepaired += 1
    if (tries % 2 === 0) {
      let again = await ask(upper.number)
      while (!joins(again, upper) && again.number > 1) again = await ask(again.number - 1)
      upper = again
    }
    lower = await ask(upper.number + 1)
  }
  return { lower, seen, isSound: true }
}
