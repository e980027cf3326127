import type { Database } from '../db/client.js'
import { type OpenRejections, readOpenRejections } from '../db/rejected-jobs.js'
import { counted, formatNumber } from '../logging/printable.js'
import type { WaitEvent } from '../spidra/client.js'
import type { Page } from '../sync/page.js'
import type { RunSummary } from '../sync/run-summary.js'

/** A progress bar of a run: pages, jobs, rate and time left, or the reason of a wait. */
interface Progress {
  onPage(page: Pick<Page, 'number' | 'totalPages' | 'jobs'>): void
  onWait(wait: Pick<WaitEvent, 'reason' | 'waitMs'>): void
  stop(): void
}

const BAR_WIDTH = 20

/** Time between two updates of the bar, in milliseconds. */
const REDRAW_MS = 100

/** The bar does not show shorter waits, in milliseconds. */
const NOTICEABLE_WAIT_MS = 1_000

/**
 * Opens a progress bar on a terminal. It appears with the first page or wait, takes one line that never wraps, and leaves
 * its last state on the screen. Other output must clear that line first; the bar is drawn again below it. It changes no
 * mode of the terminal, so a killed process leaves the terminal intact.
 */
export function openProgress(stream: Pick<NodeJS.WriteStream, 'write' | 'columns'>): Progress {
  const startedAt = performance.now()
  let reached = { page: 0, pages: 1 }
  let pagesRead = 0
  let jobs = 0
  let wait: { readonly reason: WaitEvent['reason']; readonly endsAt: number } | null = null
  let timer: NodeJS.Timeout | undefined

  function outlook(): string {
    if (wait !== null) {
      const seconds = Math.max(0, Math.ceil((wait.endsAt - performance.now()) / 1000))
      return wait.reason === 'rate_limited'
        ? `rate limit: waiting ${seconds} s`
        : `${wait.reason}: next try in ${seconds} s`
    }
    const elapsedMs = Math.max(performance.now() - startedAt, 1)
    const leftMs = ((reached.pages - reached.page) * elapsedMs) / pagesRead
    return `${formatNumber(Math.round((jobs * 1000) / elapsedMs))}/s, ${Math.ceil(leftMs / 1000)} s left`
  }

  function draw(): void {
    const { page, pages } = reached
    const done = Math.round((BAR_WIDTH * page) / pages)
    const bar = '█'.repeat(done) + '░'.repeat(BAR_WIDTH - done)
    const line = `${bar} page ${page}/${pages}, ${formatNumber(jobs)} jobs, ${outlook()}`
    // A terminal without a size has 0 columns, as in some containers.
    stream.write(`\r${line.slice(0, (stream.columns || 80) - 1)}\u001b[K`)
  }

  function show(): void {
    if (timer !== undefined) return
    draw()
    timer = setInterval(draw, REDRAW_MS)
  }

  return {
    onPage(page) {
      wait = null
      pagesRead += 1
      // A pass reads the head again at its end. The bar only goes forward, and counts each job once.
      if (page.number > reached.page) jobs += page.jobs.length
      const pages = Math.max(page.totalPages, 1)
      reached = { page: Math.min(pages, Math.max(page.number, reached.page)), pages }
      show()
    },
    onWait({ waitMs, reason }) {
      if (waitMs < NOTICEABLE_WAIT_MS) return
      wait = { reason, endsAt: performance.now() + waitMs }
      show()
    },
    stop() {
      if (timer === undefined) return
      clearInterval(timer)
      timer = undefined
      draw()
      stream.write('\n')
    },
  }
}

const NO_REJECTIONS: OpenRejections = { unstored: 0, outdated: 0 }

/**
 * Describes a run that has just ended, as text for people. The summary counts rejected items as stored, so their number is
 * read from the database.
 */
export async function describeRun(db: Database, summary: RunSummary): Promise<string> {
  // A run without a verdict may have ended because the database cannot be reached.
  const { storedTotal, account } = summary
  return toRunText(summary, storedTotal === null ? NO_REJECTIONS : await readOpenRejections(db, account))
}

/** Follows the reason, because the user has to decide. */
const MASS_REMOVAL = `
Most stored jobs are no longer listed, so nothing was marked as removed. Check the key: it may belong
to another account. If it is right, run sync --full --accept-removals to mark them.`

/** Formats a run in two or three lines: the verdict, the quarantine, and what the run did. */
export function toRunText(summary: RunSummary, rejections: OpenRejections): string {
  const { inserted, updated, unchanged, removed, restored, rejected, requests, durationMs } = summary
  const done = { inserted, updated, unchanged, removed, restored, rejected }
  const counts = Object.entries(done).flatMap(([name, count]) => (count > 0 ? [`${formatNumber(count)} ${name}`] : []))
  const cost = `${counted(requests, 'request')}, ${(durationMs / 1000).toFixed(1)} s`
  const lines = [verdictOf(summary, rejections), ...toOutdated(summary, rejections), [...counts, cost].join(', ')]
  return lines.map((line) => `${line}\n`).join('')
}

function verdictOf(summary: RunSummary, { unstored }: OpenRejections): string {
  const { status, account, listedTotal, storedTotal, reason } = summary
  switch (status) {
    case 'complete': {
      const listed = formatNumber(listedTotal ?? 0)
      if (unstored === 0) return `Complete: the table holds all ${listed} jobs that the API lists.`
      const jobs = formatNumber((storedTotal ?? 0) - unstored)
      return `Complete: of ${listed} items that the API lists ${jobs} are stored as jobs,\n${formatNumber(unstored)} in quarantine (spidra.rejected_jobs).`
    }
    case 'partial':
      return `Partial: ${reason}${toCounts(summary, unstored)}.${reason === 'mass_removal' ? MASS_REMOVAL : ''}`
    case 'failed':
      return `Failed: ${reason}`
    case 'aborted':
      return `Aborted: ${reason}. The next run continues from there.`
    case 'skipped':
      return `Skipped: another worker is running account ${account}.`
    default:
      return status satisfies never
  }
}

function toCounts({ listedTotal, storedTotal }: RunSummary, unstored: number): string {
  if (listedTotal === null || storedTotal === null) return ''
  const quarantine = unstored === 0 ? '' : `, ${formatNumber(unstored)} in quarantine`
  return ` (${formatNumber(listedTotal)} listed, ${formatNumber(storedTotal - unstored)} stored${quarantine})`
}

/** Outdated jobs need a line of their own: the verdict counts jobs, and does not compare their fields. */
function toOutdated({ storedTotal }: RunSummary, { outdated }: OpenRejections): string[] {
  if (storedTotal === null || outdated === 0) return []
  return [`The newest versions of ${counted(outdated, 'job')} are in quarantine (spidra.rejected_jobs).`]
}
