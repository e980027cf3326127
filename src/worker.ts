import { type ScheduledTask, schedule as scheduleTask } from 'node-cron'
import type { Config } from './config.js'
import type { Logger } from './logger.js'
import type { RunMode, RunTrigger } from './sync/run-summary.js'

export interface WorkerOptions {
  readonly schedule: Config['schedule']
  /** One run. What it throws is logged; the schedule goes on. */
  readonly run: (mode: RunMode, trigger: RunTrigger, signal: AbortSignal) => Promise<void>
  /** Hears when the next run is due, after every run and at the start. */
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
 * Runs by schedule, one run at a time. A tick during a run is skipped, but a full run that was due then follows it: it
 * may be a day until the next.
 */
export function startWorker({ schedule, run, onNextRun, log }: WorkerOptions): Worker {
  const stopper = new AbortController()
  const tasks: ScheduledTask[] = []
  let current: Promise<void> | null = null
  let fullIsDue = false

  /** node-cron has no notion of a run that must be waited for, so the promise is ours. */
  function start(mode: RunMode, trigger: RunTrigger): void {
    if (stopper.signal.aborted) return
    if (current !== null) {
      fullIsDue ||= mode === 'full'
      log.info({ mode }, mode === 'full' ? 'tick during a run: full run follows' : 'tick skipped: a run is under way')
      return
    }
    current = run(mode, trigger, stopper.signal)
      .catch((err: unknown) => log.error({ err }, 'run failed'))
      .then(() => {
        current = null
        onNextRun(nextRun(tasks))
        if (!fullIsDue) return
        fullIsDue = false
        start('full', 'schedule')
      })
  }

  // Full first: where both are due in the same second, the full run does the work of both.
  const plan = [
    { mode: 'full', expression: schedule.fullSync },
    { mode: 'incremental', expression: schedule.sync },
  ] as const
  for (const { mode, expression } of plan) {
    if (expression === null) continue
    tasks.push(scheduleTask(expression, () => start(mode, 'schedule'), { timezone: schedule.timezone, name: mode }))
  }
  onNextRun(nextRun(tasks))
  if (schedule.onStart) start('incremental', 'startup')

  return {
    intervalMs: shortestInterval(tasks),
    async stop() {
      stopper.abort(new Error('The worker was told to stop'))
      await Promise.all(tasks.map((task) => task.destroy()))
      await current
    },
  }
}

function nextRun(tasks: readonly ScheduledTask[]): Date | null {
  const times = tasks.flatMap((task) => task.getNextRun() ?? [])
  return times.length === 0 ? null : times.reduce((first, time) => (time < first ? time : first))
}

function shortestInterval(tasks: readonly ScheduledTask[]): number | null {
  const intervals = tasks.flatMap((task) => {
    const [first, second] = task.getNextRuns(2)
    return first && second ? [second.getTime() - first.getTime()] : []
  })
  return intervals.length === 0 ? null : Math.min(...intervals)
}
