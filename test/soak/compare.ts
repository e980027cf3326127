import type { Account } from '../../src/simulator/account.js'
import { readJobs } from '../support/job-rows.js'
import type { TestDatabase } from '../support/test-database.js'

/** Every field that is stored and listed, of every listed job: the differences in words. Nothing may move meanwhile. */
export async function compareWithList(database: TestDatabase, account: Account): Promise<readonly string[]> {
  const stored = new Map((await readJobs(database)).filter((job) => !job.isRemoved).map((job) => [job.uuid, job]))
  const listed = account.list({ page: 1, limit: account.total }).jobs
  const differences = listed.flatMap((job) => {
    const row = stored.get(job.uuid)
    if (row === undefined) return [`${job.uuid} is listed and not stored`]
    const { status, totalUrls, completedCount, failedCount, outputFormat, scrapingChannel } = job
    const one = { status, totalUrls, completedCount, failedCount, outputFormat, scrapingChannel, ...instantsOf(job) }
    const fields = Object.entries(one).filter(([name, value]) => ({ ...row, ...instantsOf(row) })[name] !== value)
    return fields.map(([name, value]) => `${job.uuid} is listed with ${name} ${value}`)
  })
  const extra = stored.size - listed.length
  return extra > 0 ? [...differences, `${extra} are stored and not listed`] : differences
}

/** Milliseconds are enough to tell one instant from another here; the text may have an offset or other digits. */
function instantsOf(job: { readonly createdAt: string; readonly finishedAt: string | null }): Record<string, unknown> {
  return {
    createdAt: Date.parse(job.createdAt),
    finishedAt: job.finishedAt === null ? null : Date.parse(job.finishedAt),
  }
}
