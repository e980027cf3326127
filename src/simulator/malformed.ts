import type { ListedJob } from './job.js'

/** An item spoilt in one way: what an API must never send, and a sync must survive. */
type Malformation = (job: ListedJob) => unknown

/** Counts and dates that Postgres, not only a schema, would refuse stand beside the plainly wrong. */
const MALFORMATIONS: readonly Malformation[] = [
  ({ uuid: _, ...rest }) => rest,
  (job) => ({ ...job, uuid: 'not-a-uuid' }),
  (job) => ({ ...job, createdAt: 'yesterday' }),
  (job) => ({ ...job, completedCount: -1 }),
  (job) => ({ ...job, totalUrls: 2.5 }),
  (job) => ({ ...job, totalUrls: 2 ** 31 }),
  (job) => ({ ...job, status: 'comp\u0000leted' }),
  (job) => ({ ...job, outputFormat: '\ud800' }),
  (job) => ({ ...job, createdAt: '0000-01-01T00:00:00Z' }),
  (job) => ({ ...job, status: null }),
  (job) => ({ ...job, totalUrls: '12' }),
  () => null,
  () => 'a text where a job should be',
]

/** The items with every fourth one spoilt, each in another way. */
export function spoilItems(jobs: readonly ListedJob[]): readonly unknown[] {
  return jobs.map((job, index) => {
    const spoil = index % 4 === 0 ? MALFORMATIONS[(index / 4) % MALFORMATIONS.length] : undefined
    return spoil === undefined ? job : spoil(job)
  })
}
