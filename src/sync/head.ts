import { countLiveJobs } from '../db/batch-jobs-read.js'
import type { Page } from './page.js'
import type { Pass } from './pass.js'
import { type WalkEnd, walkDown } from './walk.js'

/** Heads that are all new so many times in a row move faster than we read. */
const MAX_HEADS = 6

/** The answer on which a verdict may be taken, or why there is none. */
export type Head = { readonly page: Page } | { readonly end: Exclude<WalkEnd, 'until' | 'end'> }

/**
 * Reads page 1 until it touches covered ground, or is the only page, and merges it; where a head is all new, the pages
 * down to covered ground first. Every job listed above covered ground on that answer is stored then.
 *
 * @param first an answer for page 1 to begin with, so that it need not be asked again.
 */
export async function reachCoveredGround(pass: Pass, first: Page | null): Promise<Head> {
  let page = first ?? (await pass.ask(1))
  for (let heads = 1; heads <= MAX_HEADS; heads += 1) {
    if (page.fault !== null) {
      await pass.writer.write([pass.withoutNewcomers(page)])
      return { end: 'broken' }
    }
    await pass.writer.drain()
    const touched = await pass.touches(page)
    if (touched || page.totalPages <= 1) {
      const isStrange = !touched && page.total > 0 && pass.newestStored !== null
      if (isStrange && !pass.acceptsMassRemoval) return { end: 'strange' }
      await pass.writer.write([page])
      await pass.writer.drain()
      return { page }
    }
    const end = await walkDown(pass, page, { until: (_, hasTouched) => hasTouched })
    if (end !== 'until' && end !== 'end') return { end }
    if (end === 'end') await coverAll(pass)
    page = await pass.ask(1)
  }
  return { end: 'broken' }
}

/**
 * A walk from the head to the end has read and merged everything. It matters where all that is stored ties with the
 * bottom: strictly above it nothing is covered, so the head would never touch covered ground.
 */
async function coverAll(pass: Pass): Promise<void> {
  await pass.writer.drain()
  if (pass.coverage.kind === 'whole') return
  pass.coverage = { kind: 'whole' }
  await pass.save({ isWhole: true, bottomCreatedAt: null })
}

/**
 * Whether a list whose head is all new is still ours. Under what is new, at the place where the stored jobs must begin,
 * or at least at its end, it lists a job that is stored; with the key of another account it does not.
 */
export async function isOurList(pass: Pass, { total, totalPages }: Page): Promise<boolean> {
  const newcomers = Math.max(0, total - (await countLiveJobs(pass.db, pass.run.account)))
  const places = new Set([Math.floor(newcomers / pass.limit) + 2, totalPages].filter((place) => place <= totalPages))
  for (const place of places) if (await pass.touches(await pass.ask(place))) return true
  return false
}
