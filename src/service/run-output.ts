import type { Database } from '../db/client.js'
import { type OpenRejections, readOpenRejections } from '../db/rejected-jobs.js'
import { errorCodeOf } from '../logging/error-code.js'
import { counted, formatDuration, formatNumber } from '../logging/printable.js'
import type { WaitEvent } from '../spidra/client.js'
import type { RequestBudget } from '../spidra/request-budget.js'
import type { Page } from '../sync/page.js'
import { explainReason } from '../sync/reasons.js'
import type { RunSummary } from '../sync/run-summary.js'

/** A progress bar of a run: pages, jobs, rate and time left, or the reason of a wait. */
interface Progress {
  onPage(page: Pick<Page, 'number' | 'totalPages' | 'jobs'>): void
  onWait(wait: Pick<WaitEvent, 'reason' | 'waitMs'>): void
  /** Shows this text in place of the wait for the request budget, as long as it lasts. */
  onLoadWait(outlook: string): void
  stop(): void
}

const BAR_WIDTH = 20

/** Time between two updates of the bar, in milliseconds. */
const REDRAW_MS = 100

/** The bar does not show shorter waits, in milliseconds. */
const NOTICEABLE_WAIT_MS = 1_000

/**
 * Opens a progress bar on a terminal. It appears with the first page or wait, takes one line that never wraps, and clears that
 * line at its end. Other output must clear the line first; the bar is drawn again below it. It changes no mode of the terminal,
 * so a killed process leaves the terminal intact.
 *
 * @param budget of the run: where it does not last for the pages left, a wait lies ahead.
 */
export function openProgress(
  stream: Pick<NodeJS.WriteStream, 'write' | 'columns'>,
  budget: Pick<RequestBudget, 'rest'>,
): Progress {
  const startedAt = performance.now()
  let reached = { page: 0, pages: 1 }
  let pagesRead = 0
  let jobs = 0
  let wait: { readonly reason: WaitEvent['reason']; readonly endsAt: number; readonly until: Date } | null = null
  let load: string | null = null
  let timer: NodeJS.Timeout | undefined

  function outlook(): string {
    if (wait !== null) {
      const left = toTimeLeft(wait.endsAt - performance.now())
      return wait.reason === 'rate_limited'
        ? `request budget: waiting until ${wait.until.toISOString().slice(11, 16)} UTC, ${left}`
        : `${wait.reason}: next try in ${left}`
    }
    const elapsedMs = Math.max(performance.now() - startedAt, 1)
    const pagesLeft = reached.pages - reached.page
    const rate = `${formatNumber(Math.round((jobs * 1000) / elapsedMs))}/s`
    // A wait of minutes lies ahead, so the rate until now says nothing of the time left.
    if (pagesLeft > (budget.rest()?.requests ?? pagesLeft)) return rate
    return `${rate}, ${toTimeLeft((pagesLeft * elapsedMs) / pagesRead)} left`
  }

  function draw(): void {
    const { page, pages } = reached
    const text = load ?? `page ${page}/${pages}, ${formatNumber(jobs)} jobs, ${outlook()}`
    // A terminal without a size has 0 columns, as in some containers. Ctrl-C shows as `^C` behind the line, and must not wrap.
    const room = (stream.columns || 80) - 3
    const width = Math.max(0, Math.min(BAR_WIDTH, room - text.length - 1))
    const done = Math.round((width * page) / pages)
    const line = `${'█'.repeat(done)}${'░'.repeat(width - done)} ${text}`.trimStart()
    stream.write(`\r${line.slice(0, room)}\u001b[K`)
  }

  function show(): void {
    if (timer !== undefined) return
    draw()
    timer = setInterval(draw, REDRAW_MS)
  }

  return {
    onPage(page) {
      wait = null
      load = null
      pagesRead += 1
      // A pass reads the head again at its end. The bar only goes forward, and counts each job once.
      if (page.number > reached.page) jobs += page.jobs.length
      const pages = Math.max(page.totalPages, 1)
      reached = { page: Math.min(pages, Math.max(page.number, reached.page)), pages }
      show()
    },
    onWait({ waitMs, reason }) {
      if (waitMs < NOTICEABLE_WAIT_MS) return
      load = null
      wait = { reason, endsAt: performance.now() + waitMs, until: new Date(Date.now() + waitMs) }
      show()
    },
    onLoadWait(text) {
      if (wait?.reason === 'rate_limited') load = text
    },
    stop() {
      if (timer === undefined) return
      clearInterval(timer)
      timer = undefined
      stream.write('\r\u001b[K')
    },
  }
}

/** Rounded up to what is shown, so that a wait is not over before its end. */
function toTimeLeft(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000))
  const shown = seconds < 3_600 ? 1 : seconds < 86_400 ? 60 : 3_600
  return formatDuration(Math.ceil(seconds / shown) * shown)
}

const NO_REJECTIONS: OpenRejections = { unstored: 0, outdated: 0 }

/**
 * Describes a run that has just ended, as text for people. The summary counts rejected items as stored, so their number is
 * read from the database.
 */
export async function describeRun(db: Database, summary: RunSummary, error: Error | null): Promise<string> {
  // A run without a verdict may have ended because the database cannot be reached.
  const { storedTotal, account } = summary
  return toRunText(summary, storedTotal === null ? NO_REJECTIONS : await readOpenRejections(db, account), error)
}

/** Formats a run in two or three lines of any length: the verdict with what to do, the quarantine, and what the run did. */
export function toRunText(summary: RunSummary, rejections: OpenRejections, error: Error | null = null): string {
  const { inserted, updated, unchanged, removed, restored, rejected, requests, durationMs } = summary
  const done = { inserted, updated, unchanged, removed, restored, rejected }
  const counts = Object.entries(done).flatMap(([name, count]) => (count > 0 ? [`${formatNumber(count)} ${name}`] : []))
  const cost = `${counted(requests, 'request')}, ${formatDuration(durationMs / 1000)}`
  const lines = [
    verdictOf(summary, rejections, error),
    ...toOutdated(summary, rejections),
    [...counts, cost].join(', '),
  ]
  return lines.map((line) => `${line}\n`).join('')
}

function verdictOf(summary: RunSummary, { unstored }: OpenRejections, error: Error | null): string {
  const { status, account, listedTotal, storedTotal, reason } = summary
  switch (status) {
    case 'complete': {
      const listed = formatNumber(listedTotal ?? 0)
      if (unstored === 0) return `Complete: the table holds all ${listed} jobs that the API lists.`
      const jobs = formatNumber((storedTotal ?? 0) - unstored)
      return `Complete: of ${listed} items that the API lists ${jobs} are stored as jobs, ${formatNumber(unstored)} in quarantine (spidra.rejected_jobs).`
    }
    case 'partial': {
      const { meaning, advice } = explainReason(reason ?? 'internal')
      return `Partial: ${meaning ?? reason}${toCounts(summary, unstored)}. ${advice}`
    }
    case 'failed':
    case 'aborted': {
      const code = errorCodeOf(error) ?? 'internal'
      // A stop interrupts whatever is under way, which may fail with any code.
      const isGivenUp = code === 'handed_on' || code === 'worker_lost'
      const { meaning, advice } = explainReason(status === 'aborted' && !isGivenUp ? 'stopped' : code)
      const what = (meaning ?? reason ?? 'no reason is known').replace(/\.$/, '')
      return `${status === 'failed' ? 'Failed' : 'Aborted'}: ${what}.${advice === null ? '' : ` ${advice}`}`
    }
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
