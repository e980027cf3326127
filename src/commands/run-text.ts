import type { Database } from '../db/client.js'
import { type OpenRejections, readOpenRejections } from '../db/rejected-jobs.js'
import { counted } from '../logging/printable.js'
import type { RunSummary } from '../sync/run-summary.js'

const number = (value: number) => value.toLocaleString('en')

/** The text of a run that has just ended. The summary counts rejected items as stored, so the database is asked for them. */
export async function describeRun(db: Database, summary: RunSummary): Promise<string> {
  // A run without a verdict may have ended because the database is away.
  const { storedTotal, account } = summary
  return toRunText(summary, storedTotal === null ? NOTHING : await readOpenRejections(db, account))
}

/** `reason` is one word, and this one asks for a decision. */
const MASS_REMOVAL = `
Most stored jobs are listed no longer, so nothing was marked as removed. Check the key: it may be
another account's. If it is right, sync --full --accept-removals marks them.`

const NOTHING: OpenRejections = { unstored: 0, outdated: 0 }

/** A run for people: the verdict, what is in quarantine, and what was done. */
export function toRunText(summary: RunSummary, rejections: OpenRejections): string {
  const { inserted, updated, unchanged, removed, restored, rejected, requests, durationMs } = summary
  const done = { inserted, updated, unchanged, removed, restored, rejected }
  const counts = Object.entries(done).flatMap(([name, count]) => (count > 0 ? [`${number(count)} ${name}`] : []))
  const cost = `${counted(requests, 'request')}, ${(durationMs / 1000).toFixed(1)} s`
  const lines = [verdictOf(summary, rejections), ...toOutdated(summary, rejections), [...counts, cost].join(', ')]
  return lines.map((line) => `${line}\n`).join('')
}

function verdictOf(summary: RunSummary, { unstored }: OpenRejections): string {
  const { status, account, listedTotal, storedTotal, reason } = summary
  switch (status) {
    case 'complete': {
      const listed = number(listedTotal ?? 0)
      if (unstored === 0) return `Complete: the table holds all ${listed} jobs that the API lists.`
      const jobs = number((storedTotal ?? 0) - unstored)
      return `Complete: of ${listed} items that the API lists ${jobs} are stored as jobs,\n${number(unstored)} in quarantine (spidra.rejected_jobs).`
    }
    case 'partial':
      return `Partial: ${reason}${toCounts(summary, unstored)}.${reason === 'mass_removal' ? MASS_REMOVAL : ''}`
    case 'failed':
      return `Failed: ${reason}`
    case 'aborted':
      return `Aborted: ${reason}. The next run goes on from there.`
    case 'skipped':
      return `Skipped: another worker is running account ${account}.`
    default:
      return status satisfies never
  }
}

function toCounts({ listedTotal, storedTotal }: RunSummary, unstored: number): string {
  if (listedTotal === null || storedTotal === null) return ''
  const quarantine = unstored === 0 ? '' : `, ${number(unstored)} in quarantine`
  return ` (${number(listedTotal)} listed, ${number(storedTotal - unstored)} stored${quarantine})`
}

/** A verdict counts jobs, not what is in them. */
function toOutdated({ storedTotal }: RunSummary, { outdated }: OpenRejections): string[] {
  if (storedTotal === null || outdated === 0) return []
  return [`The newest versions of ${counted(outdated, 'job')} are in quarantine (spidra.rejected_jobs).`]
}
