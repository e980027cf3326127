import type { Timing } from '../config/scale.js'
import type { Logger } from '../logging/logger.js'
import type { Cron } from './cron.js'

export interface TicksOptions<Mode extends string> {
  /** Of several that are due at once, the first in this list ticks first. */
  readonly schedules: readonly { readonly mode: Mode; readonly cron: Cron }[]
  readonly onTick: (mode: Mode) => void
  /** The clock was set: whoever knows when the next tick is due should ask again. */
  readonly onClockSet: () => void
  readonly timing: Pick<Timing, 'tickCheckMs' | 'clockJumpMs' | 'lateTickMs'>
  readonly log: Logger
}

export interface Ticks {
  /** When the next tick of any schedule is due; null: never. */
  nextAt(): Date | null
  stop(): void
}

interface Schedule<Mode> {
  readonly mode: Mode
  readonly cron: Cron
  /** Epoch milliseconds. */
  due: number | null
  /** The last tick, on the clock and on the monotonic clock. */
  last: { readonly at: number; readonly elapsed: number } | null
  /** The last one that was not repeated. */
  passedOver: number | null
}

/**
 * Calls `onTick` whenever a schedule is due by the clock on the wall, wherever that jumps: a tick that was leapt over
 * (by the clock, or by a process that stood still) comes at once, once for as many as were missed; and where the clock
 * is set back the schedule goes on, without repeating a tick that was hardly half its interval ago.
 */
export function startTicks<Mode extends string>(options: TicksOptions<Mode>): Ticks {
  const { onTick, onClockSet, log } = options
  const { tickCheckMs, clockJumpMs, lateTickMs } = options.timing
  let seen = { wall: Date.now(), elapsed: performance.now() }
  const schedules = options.schedules.map(({ mode, cron }): Schedule<Mode> => {
    return { mode, cron, due: cron.next(seen.wall), last: null, passedOver: null }
  })
  let timer: NodeJS.Timeout | null = null

  function nextAt(): Date | null {
    const times = schedules.flatMap(({ due }) => due ?? [])
    return times.length === 0 ? null : new Date(Math.min(...times))
  }

  function arm(): void {
    const next = nextAt()
    if (next === null) return
    timer = setTimeout(look, Math.min(tickCheckMs, Math.max(0, next.getTime() - Date.now())))
  }

  function look(): void {
    const wall = Date.now()
    const elapsed = performance.now()
    const jumpMs = Math.round(wall - seen.wall - (elapsed - seen.elapsed))
    seen = { wall, elapsed }
    if (Math.abs(jumpMs) >= clockJumpMs) log.warn({ jumpMs }, 'the clock was set')

    const ticked: Mode[] = []
    for (const schedule of schedules) {
      const { mode, due } = schedule
      if (due !== null && wall >= due) {
        const lateMs = Math.round(wall - due)
        if (lateMs >= lateTickMs) log.warn({ mode, dueAt: new Date(due), lateMs }, 'tick late')
        schedule.last = { at: wall, elapsed }
        ticked.push(mode)
      }
      schedule.due = nextDue(schedule, wall, elapsed)
    }
    arm()
    for (const mode of ticked) onTick(mode)
    if (Math.abs(jumpMs) >= clockJumpMs) onClockSet()
  }

  function nextDue(schedule: Schedule<Mode>, wall: number, elapsed: number): number | null {
    const { mode, cron, last } = schedule
    const first = cron.next(wall)
    let due = first
    // Only a clock that was set back comes to a tick that has been.
    while (due !== null && last !== null && due <= last.at) {
      const following = cron.next(due)
      if (following === null) return null
      const sinceLast = elapsed - last.elapsed + (due - wall)
      if (sinceLast >= (following - due) / 2) break
      due = following
    }
    if (first !== null && due !== first && schedule.passedOver !== first) {
      schedule.passedOver = first
      log.info({ mode, tickAt: new Date(first) }, 'tick not repeated: the clock was set back')
    }
    return due
  }

  arm()
  return { nextAt, stop: () => clearTimeout(timer ?? undefined) }
}
