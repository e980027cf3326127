import { rankOf } from '../db/batch-jobs-read.js'
import { type Micros, toTimestamp } from './instant.js'
import type { Page } from './page.js'
import type { Pass } from './pass.js'

/**
 * Asks for the page on which the list goes on below a position, stepping up until it begins above it: strictly, since
 * jobs that tie with the position may stand on both sides of it. The table tells where to look first.
 */
export async function askAbove(pass: Pass, position: Micros): Promise<Page> {
  const rank = await rankOf(pass.db, pass.run.account, toTimestamp(position), [...pass.missing])
  let page = await pass.ask(Math.max(1, Math.ceil(rank / pass.limit)))
  while (page.number > 1 && !(await isAbove(pass, page, position))) page = await pass.ask(page.number - 1)
  return page
}

async function isAbove(pass: Pass, page: Page, position: Micros): Promise<boolean> {
  if (page.fault !== null || page.newest === null || page.newest <= position) return false
  // While the first pass is unfinished, only what is stored above its bottom is ground to go on from.
  return pass.coverage.kind !== 'down_to' || pass.touches(page)
}
