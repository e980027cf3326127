import { mergeJobs } from '../db/batch-jobs.js'
import type { Database } from '../db/client.js'
import { fingerprintOf, keepRejectedJobs } from '../db/rejected-jobs.js'
import type { RunKey } from '../db/sync-runs.js'
import { type Rejection, toRejection } from '../spidra/wire.js'
import type { Counters } from './counters.js'
import type { Page } from './page.js'

/** Tells a uuid from a fingerprint, which has 64 digits. */
const UUID_LENGTH = 36

export interface PageMerger {
  /** Stores the jobs of the pages, and keeps what is no job in the quarantine. */
  merge(pages: readonly Page[]): Promise<void>
  /** The rejections met so far: copies by identity. */
  rejectionsMet(): ReadonlyMap<string, number>
}

/** @param onRedated hears of jobs that are listed with another `createdAt` than they are stored with. */
export function createPageMerger(
  db: Database,
  run: RunKey,
  counters: Counters,
  onRedated: (jobs: number) => void,
): PageMerger {
  /** Copies by identity and page: a page read again replaces what it said before. */
  const met = new Map<string, Map<number, number>>()

  async function merge(pages: readonly Page[]): Promise<void> {
    // Of a job that two pages list, the later answer counts.
    const inOrder = [...pages].sort((one, other) => one.answeredAt - other.answeredAt)
    const jobs = inOrder.flatMap((page) => page.jobs)
    const { refused, ...outcome } = await mergeJobs(db, run, jobs)
    counters.inserted += outcome.inserted
    counters.updated += outcome.updated
    counters.unchanged += outcome.unchanged
    counters.restored += outcome.restored
    if (outcome.redated > 0) onRedated(outcome.redated)
    await keepRejections(pages, new Map(refused.map(({ row, reason }) => [row.uuid, toRejection(row.item, reason)])))
  }

  async function keepRejections(pages: readonly Page[], refused: ReadonlyMap<string, Rejection>): Promise<void> {
    if (refused.size === 0 && pages.every((page) => page.rejections.length === 0)) return
    const rows = new Map<string, Rejection & { readonly fingerprint: string }>()
    for (const page of pages) {
      const copies = new Map<string, number>()
      for (const rejection of [...page.rejections, ...page.jobs.flatMap(({ uuid }) => refused.get(uuid) ?? [])]) {
        const fingerprint = fingerprintOf(rejection.payload)
        const identity = rejection.uuid ?? fingerprint
        rows.set(identity, { ...rejection, fingerprint })
        copies.set(identity, (copies.get(identity) ?? 0) + 1)
      }
      for (const [identity, count] of copies) note(identity, page.number, count)
    }
    counters.rejected = met.size
    await keepRejectedJobs(
      db,
      run,
      [...rows].map(([identity, row]) => ({ ...row, copies: copiesOf(identity) })),
    )
  }

  function note(identity: string, page: number, count: number): void {
    const byPage = met.get(identity) ?? new Map<number, number>()
    met.set(identity, byPage.set(page, count))
  }

  /** A uuid is one job, on however many pages it is met; items without one count as often as the pages hold them. */
  function copiesOf(identity: string): number {
    if (identity.length === UUID_LENGTH) return 1
    return [...(met.get(identity)?.values() ?? [])].reduce((sum, count) => sum + count, 0)
  }

  return {
    merge,
    rejectionsMet: () => new Map([...met.keys()].map((identity) => [identity, copiesOf(identity)])),
  }
}
