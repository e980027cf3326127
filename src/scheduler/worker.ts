import type { Config } from '../config/config.js'
import type { Logger } from '../logging/logger.js'
import type { RunMode, RunTrigger } from '../sync/run-summary.js'
import { shortestInterval, startSchedules } from './schedules.js'

export interface WorkerOptions {
  readonly schedule: Config['schedule']
  readonly timing: Config['timing']
  /**
   * Runs once. Resolves to whether a full run that was due before its end is still to be done. The worker logs an error that
   * it throws, and goes on.
   */
  readonly run: (mode: RunMode, trigger: RunTrigger, signal: AbortSignal) => Promise<boolean>
  /** Called with the time of the next run at the start, after every run, and after the clock was set. */
  readonly onNextRun: (at: Date | null) => void
  readonly log: Logger
}

export interface Worker {
  /** Time between two scheduled runs, in milliseconds; null without a schedule. */
  readonly intervalMs: number | null
  /** Stops the schedules, aborts the run under way and waits for its end. */
  stop(): Promise<void>
}

/**
 * Starts the schedules of the account and runs one run at a time.
 *
 * A tick during a run is skipped. node-cron's `noOverlap` cannot see to that, since both schedules and the run at the start
 * share one run. The next full tick may be a day away, so a full run that was skipped follows the run under way, unless that
 * one did its work. Where another process runs the account, the full run is tried again at the next tick.
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
    onNextRun(schedules.nextRun())
    // A full run that could not begin would be skipped again at once.
    if (!fullIsDue || mode === 'full' || stopper.signal.aborted) return
    log.info('full run follows')
    start('full', 'schedule')
  }

  const { sync, fullSync, timezone } = schedule
  const schedules = startSchedules({
    ...{ sync, fullSync, timezone, timing, log },
    onTick: (mode) => start(mode, 'schedule'),
    onClockSet: () => onNextRun(schedules.nextRun()),
  })
  onNextRun(schedules.nextRun())
  if (schedule.onStart) start('incremental', 'startup')

  return {
    intervalMs: shortestInterval([sync, fullSync]),
    async stop() {
      stopper.abort(new Error('The worker was asked to stop'))
      schedules.stop()
      await current
    },
  }
}
