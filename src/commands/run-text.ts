import { counted } from '../printable.js'
import type { RunSummary } from '../sync/run-summary.js'

const number = (value: number) => value.toLocaleString('en')

/** A run in two lines for people: the verdict, and what was done. */
export function toRunText(summary: RunSummary): string {
  const { inserted, updated, unchanged, removed, restored, rejected, requests, durationMs } = summary
  const done = { inserted, updated, unchanged, removed, restored, rejected }
  const counts = Object.entries(done).flatMap(([name, count]) => (count > 0 ? [`${number(count)} ${name}`] : []))
  const cost = `${counted(requests, 'request')}, ${(durationMs / 1000).toFixed(1)} s`
  return `${verdictOf(summary)}\n${[...counts, cost].join(', ')}\n`
}

function verdictOf({ status, account, listedTotal, storedTotal, reason }: RunSummary): string {
  const counts = listedTotal === null ? '' : ` (${number(listedTotal)} listed, ${number(storedTotal ?? 0)} stored)`
  switch (status) {
    case 'complete':
      return `Complete: the table holds all ${number(listedTotal ?? 0)} jobs that the API lists.`
    case 'partial':
      return `Partial: ${reason}${counts}.`
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
