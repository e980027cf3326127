import type { WaitEvent } from '../spidra/client.js'
import type { Page } from '../sync/page.js'

/** A progress bar for a run: pages, jobs, rate, time left, or what it waits for. */
export interface Progress {
  onPage(page: Pick<Page, 'number' | 'totalPages' | 'jobs'>): void
  onWait(wait: Pick<WaitEvent, 'reason' | 'waitMs'>): void
  stop(): void
}

const BAR_WIDTH = 20

/** Between two drawings, in milliseconds. */
const REDRAW_MS = 100

/** Waits shorter than this pass unnoticed, in milliseconds. */
const NOTICEABLE_WAIT_MS = 1_000

/**
 * Opens a bar on a terminal; it appears with the first page or wait. It takes one line, which it never lets wrap, and
 * leaves the last state standing. Whoever writes to the terminal meanwhile clears that line first; the bar is then drawn
 * again below. It changes no mode of the terminal, so a process that is killed leaves nothing to mend.
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
    return `${Math.round((jobs * 1000) / elapsedMs).toLocaleString('en')}/s, ${Math.ceil(leftMs / 1000)} s left`
  }

  function draw(): void {
    const { page, pages } = reached
    const done = Math.round((BAR_WIDTH * page) / pages)
    const bar = '█'.repeat(done) + '░'.repeat(BAR_WIDTH - done)
    const line = `${bar} page ${page}/${pages}, ${jobs.toLocaleString('en')} jobs, ${outlook()}`
    // A terminal without a size, as some containers lend it, has 0 columns.
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
      // A pass ends with the head again: the bar goes forward only, and counts no job twice.
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
