import cliProgress from 'cli-progress'
import type { WaitEvent } from '../spidra/client.js'
import type { Page } from '../sync/page.js'

/** A progress bar for a run: pages, jobs, rate, time left, or what it waits for. */
export interface Progress {
  onPage(page: Page): void
  onWait(event: WaitEvent): void
  stop(): void
}

/** Waits shorter than this pass unnoticed, in milliseconds. */
const NOTICEABLE_WAIT_MS = 1_000

/** Opens a bar on a terminal. It takes one line of 80 columns, and leaves the finished line standing. */
export function openProgress(stream: NodeJS.WriteStream): Progress {
  let jobs = 0
  let waiting: string | null = null
  let isStarted = false
  const startedAt = performance.now()
  const bar = new cliProgress.SingleBar(
    {
      stream,
      barsize: 20,
      fps: 10,
      hideCursor: true,
      etaBuffer: 100,
      gracefulExit: false,
      format: (options, params, payload) => {
        const drawn = cliProgress.Format.BarFormat(params.progress, options)
        const rate = Math.round(jobs / Math.max((performance.now() - startedAt) / 1000, 0.001))
        const left = waiting ?? `${rate.toLocaleString('en')}/s, ${etaText(params.eta)}`
        const pages = `page ${params.value}/${params.total}`
        return `${drawn} ${pages}, ${payload.jobs.toLocaleString('en')} jobs, ${left}`
      },
    },
    cliProgress.Presets.shades_classic,
  )

  return {
    onPage(page) {
      waiting = null
      jobs += page.jobs.length
      const pages = Math.max(page.totalPages, 1)
      if (!isStarted) bar.start(pages, 0, { jobs })
      isStarted = true
      bar.setTotal(pages)
      // A pass ends with the head again: the bar goes forward only.
      bar.update(Math.min(pages, Math.max(page.number, bar.getProgress() * pages)), { jobs })
    },
    onWait({ waitMs, reason }) {
      if (waitMs < NOTICEABLE_WAIT_MS) return
      const seconds = Math.ceil(waitMs / 1000)
      waiting = reason === 'rate_limited' ? `rate limit: waiting ${seconds} s` : `${reason}: next try in ${seconds} s`
      if (isStarted) bar.update({ jobs })
    },
    stop: () => bar.stop(),
  }
}

function etaText(seconds: number): string {
  return Number.isFinite(seconds) ? `${Math.ceil(seconds)} s left` : 'soon done'
}
