import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { mergeJobs } from '../src/db/batch-jobs.js'
import { jobRows, openRun } from './support/job-rows.js'
import { createTestDatabase } from './support/test-database.js'

const PAGES = ['README.md', 'docs/sql.md']

/** The SQL blocks of a page, each statement by itself. */
function statementsOf(page: string): string[] {
  const blocks = [...readFileSync(page, 'utf8').matchAll(/```sql\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')
  return blocks.flatMap((block) => block.split(/;\s*$/m)).filter((statement) => statement.trim() !== '')
}

test.each(PAGES)('every query in %s runs', async (page) => {
  await using database = await createTestDatabase()
  await mergeJobs(database.db, await openRun(database.db), jobRows(3))
  const queries = statementsOf(page)
  expect(queries.length).toBeGreaterThan(2)

  for (const query of queries) await expect(database.sql(query), query).resolves.toBeDefined()
})
