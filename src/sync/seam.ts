import type { Page } from './page.js'

/**
 * Decides whether nothing can be missing between two neighbouring pages.
 *
 * The list is newest first. Between two requests it moves down by new jobs and up by removed ones; only a move up can
 * hide a job. A uuid on both pages proves that they overlap. Equal totals prove that as many came as went, and what
 * comes, comes above the joint (assumption A1), so the net move over the joint is down or none; that argument needs the
 * upper page to be the older answer. A page that is not well-formed proves nothing.
 */
export function isSoundSeam(upper: Page, lower: Page): boolean {
  if (upper.fault !== null || lower.fault !== null) return false
  if (upper.answeredAt <= lower.askedAt && upper.total === lower.total) return true
  return overlaps(upper, lower)
}

/**
 * Decides whether a page that was asked again may take the place of its older answer, without a hole above it.
 *
 * What was above the old answer must not have slipped past the new one: either both share a job, or the new one ends
 * above where the old one began, or it is the head, above which there is nothing.
 */
export function joins(again: Page, older: Page): boolean {
  if (again.fault !== null) return false
  if (again.number === 1 || overlaps(again, older)) return true
  return again.isSorted && again.oldest !== null && older.newest !== null && again.oldest > older.newest
}

function overlaps(one: Page, other: Page): boolean {
  for (const uuid of other.uuids) if (one.uuids.has(uuid)) return true
  return false
}
