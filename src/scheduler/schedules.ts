import { createTask, type ScheduledTask, schedule } from 'node-cron'
import type { Timing } from '../config/scale.js'
import type { Logger } from '../logging/logger.js'
import type { RunMode } from '../sync/run-summary.js'

export interface SchedulesOptions {
  /** Cron expression of the incremental runs; null: none. */
  readonly sync: string | null
  /** Cron expression of the full runs; null: none. */
  readonly fullSync: string | null
  readonly timezone: string
  readonly onTick: (mode: RunMode) => void
  /** Called after the clock was set: the next run may be due at another time. */
  readonly onClockSet: () => void
  readonly timing: Pick<Timing, 'clockCheckMs' | 'clockJumpMs' | 'lateTickMs'>
  readonly log: Logger
}

export interface Schedules {
  /** When the next run of either mode is due; null: never. */
  nextRun(): Date | null
  stop(): void
}

interface RunningTask {
  readonly mode: RunMode
  readonly task: ScheduledTask
  /** The tick that the task waits for. */
  due: Date | null
}

/**
 * Starts the schedules of an account on node-cron, with a watchdog for the clock.
 *
 * node-cron computes the delay until the next tick once. After the clock was set back it would therefore wait for the old
 * time, and after the clock was set forward for up to a day too long. So the watchdog compares the clock with the monotonic
 * clock. When they have moved apart, it starts the tasks again, and calls `onTick` once for a task whose tick was skipped.
 */
export function startSchedules(options: SchedulesOptions): Schedules {
  const { sync, fullSync, timezone, onTick, onClockSet, log } = options
  const { clockCheckMs, clockJumpMs, lateTickMs } = options.timing
  const full = fullSync === null ? null : startTask('full', fullSync)
  const incremental = sync === null ? null : startTask('incremental', sync)
  const running = [full, incremental].filter((one) => one !== null)
  let seen = { wall: Date.now(), elapsed: performance.now() }
  const watchdog = setInterval(checkClock, clockCheckMs)

  function startTask(mode: RunMode, expression: string): RunningTask {
    const task = schedule(expression, ({ date }) => tick(started, date), {
      timezone,
      // After a pause of the process (SIGSTOP, a busy machine) the latest tick runs, however late it is.
      missedExecutionTolerance: Number.POSITIVE_INFINITY,
      suppressMissedWarning: true,
      logger: log,
    })
    const started: RunningTask = { mode, task, due: task.getNextRun() }
    return started
  }

  function tick(one: RunningTask, at: Date): void {
    one.due = one.task.getNextRun()
    // A full run does the work of an incremental one. Which of two tasks ticks first in the same second is left to chance.
    if (one === incremental && full?.task.match(at)) return
    const lateMs = Date.now() - at.getTime()
    if (lateMs >= lateTickMs) log.warn({ mode: one.mode, dueAt: at, lateMs }, 'tick late')
    onTick(one.mode)
  }

  function checkClock(): void {
    const now = { wall: Date.now(), elapsed: performance.now() }
    const jumpMs = Math.round(now.wall - seen.wall - (now.elapsed - seen.elapsed))
    seen = now
    if (Math.abs(jumpMs) < clockJumpMs) return
    log.warn({ jumpMs }, 'the clock was set')
    for (const one of running) {
      const { due } = one
      one.task.stop()
      one.task.start()
      one.due = one.task.getNextRun()
      if (due !== null && due.getTime() <= now.wall) tick(one, due)
    }
    onClockSet()
  }

  return {
    nextRun() {
      const times = running.flatMap(({ task }) => task.getNextRun()?.getTime() ?? [])
      return times.length === 0 ? null : new Date(Math.min(...times))
    },
    stop() {
      clearInterval(watchdog)
      for (const { task } of running) task.destroy()
    },
  }
}

/**
 * Computes the time between the next two ticks of the most frequent of these cron expressions, in milliseconds; null without
 * any. It does so in UTC, because the hour that clocks leave out or repeat elsewhere would distort it.
 */
export function shortestInterval(expressions: readonly (string | null)[]): number | null {
  const intervals = expressions.flatMap((expression) => {
    if (expression === null) return []
    const task = createTask(expression, () => {}, { timezone: 'Etc/UTC' })
    const [first, second] = task.getNextRuns(2)
    task.destroy()
    return first === undefined || second === undefined ? [] : [second.getTime() - first.getTime()]
  })
  return intervals.length === 0 ? null : Math.min(...intervals)
}
