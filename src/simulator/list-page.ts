import type { ListedJob } from './job.js'

export interface PageAsked {
  /** From 1. */
  readonly page: number
  readonly limit: number
}

export interface Pagination extends PageAsked {
  readonly total: number
  readonly totalPages: number
}

/** One answer of the list. `jobs` are typed as the API sends them; items and patches given by hand may differ. */
export interface ListPage {
  readonly jobs: readonly ListedJob[]
  readonly pagination: Pagination
}

/**
 * The JSON of a page. `itemAt` takes a position counted from the oldest job, the list shows the newest first.
 * `totalPagesWhenEmpty` is what an empty list calls its number of pages.
 */
export function toPageText(
  asked: PageAsked,
  list: { readonly total: number; readonly totalPagesWhenEmpty: number; itemAt(position: number): string },
): string {
  const { page, limit } = asked
  const { total } = list
  const above = Math.min(total, (page - 1) * limit)
  const texts: string[] = []
  for (let index = above; index < Math.min(total, above + limit); index += 1) texts.push(list.itemAt(total - 1 - index))
  const totalPages = total === 0 ? list.totalPagesWhenEmpty : Math.ceil(total / limit)
  const pagination: Pagination = { page, limit, total, totalPages }
  return `{"jobs":[${texts.join(',')}],"pagination":${JSON.stringify(pagination)}}`
}
