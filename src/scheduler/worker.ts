import type { Config } from '../config/config.js'
import type { Logger } from '../logging/logger.js'
import type { RunMode, RunTrigger } from '../sync/run-summary.js'
import { createCron, shortestInterval } from './cron.js'
import { startTicks } from './schedules.js'

export interface WorkerOptions {
  readonly schedule: Config['schedule']
  readonly timing: Config['timing']
  /**
   * One run. Resolves to whether a full run that was due before its end is still to be done. What it throws is logged; the
   * schedule goes on.
   */
  readonly run: (mode: RunMode, trigger: RunTrigger, signal: AbortSignal) => Promise<boolean>
  /** Hears when the next run is due, at the start, after every run, and when the clock was set. */
  readonly onNextRun: (at: Date | null) => void
  readonly log: Logger
}

export interface Worker {
  /** Between two scheduled runs, in milliseconds; null without a schedule. */
  readonly intervalMs: number | null
  /** Stops the schedules, aborts the run under way and waits for its end. */
  stop(): Promise<void>
}

/**
 * Runs by schedule, one run at a time. A tick during a run is skipped. But the next full tick may be a day away, so a full
 * run that was due follows a run that did not do its work; where another process runs the account, at the next tick.
 */
export function startWorker({ schedule, timing, run, onNextRun, log }: WorkerOptions): Worker {
  const stopper = new AbortController()
  let current: Promise<void> | null = null
  let fullIsDue = false

  function start(mode: RunMode, trigger: RunTrigger): void {
    if (stopper.signal.aborted) return
    fullIsDue ||= mode === 'full'
    if (current !== null) log.info({ mode }, 'tick skipped: a run is under way')
    else current = execute(fullIsDue ? 'full' : mode, trigger)
  }

  async function execute(mode: RunMode, trigger: RunTrigger): Promise<void> {
    const isFullLeft = await run(mode, trigger, stopper.signal).catch((err: unknown) => {
      log.error({ err }, 'run failed')
      return mode !== 'full'
    })
    current = null
    fullIsDue &&= isFullLeft
    onNextRun(ticks.nextAt())
    // A full run that could not begin would be skipped again at once.
    if (!fullIsDue || mode === 'full' || stopper.signal.aborted) return
    log.info('full run follows')
    start('full', 'schedule')
  }

  // Full first: where both are due in the same second, the full run does the work of both.
  const schedules = (
    [
      { mode: 'full', expression: schedule.fullSync },
      { mode: 'incremental', expression: schedule.sync },
    ] as const
  ).flatMap(({ mode, expression }) =>
    expression === null ? [] : [{ mode, cron: createCron(expression, schedule.timezone) }],
  )
  const ticks = startTicks({
    schedules,
    onTick: (mode) => start(mode, 'schedule'),
    onClockSet: () => onNextRun(ticks.nextAt()),
    timing,
    log,
  })
  onNextRun(ticks.nextAt())
  if (schedule.onStart) start('incremental', 'startup')

  return {
    intervalMs: shortestInterval(schedules.map(({ cron }) => cron)),
    async stop() {
      stopper.abort(new Error('The worker was told to stop'))
      ticks.stop()
      await current
    },
  }
}
