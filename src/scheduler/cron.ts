import { createTask, parse } from 'node-cron'

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/** A 29th of February that is a Monday comes every 28 years, and over a century without a leap day after 40. */
const MAX_DAYS = 41 * 366

/** Clocks change by less; times so far apart on the wall are in the same order in truth. */
const MAX_CHANGE_MS = 3 * HOUR_MS

/** Zones keep their offset at least from one quarter of an hour to the next. */
const OFFSET_STEP_MS = HOUR_MS / 4
const OFFSETS_KEPT = 500

/** When a schedule is due. */
export interface Cron {
  /** The first tick after an instant; null: none for 41 years. Instants are epoch milliseconds. */
  next(after: number): number | null
}

/** One expression as lists of numbers; of days also tokens such as `L`. */
type Fields = ReturnType<typeof parse>

/**
 * Reads a cron expression of five or six fields, as node-cron does.
 *
 * Where clocks change, a schedule of every hour goes on by elapsed time: it ticks through an hour that comes twice, and
 * knows nothing of one that is left out. A schedule of certain hours keeps its number of ticks a day, as RFC 5545 has it
 * (section 3.3.5): a time that comes twice counts the first time, and one that is left out is read with the offset before
 * the change, so that 02:30 becomes 03:30. node-cron's own timer leaves such a tick out, and stands still for the whole
 * hour that comes twice.
 *
 * @throws what node-cron throws for an expression that it cannot read.
 */
export function createCron(expression: string, timezone: string): Cron {
  const fields = parse(expression)
  const isHourly = new Set(fields.hour).size === 24
  const isDue = createDayTest(fields)
  const offsetAt = createOffsets(timezone)

  /** The instants at which clocks in the zone show a time, given as if it were UTC. */
  function instantsOf(wall: number): readonly number[] {
    const before = wall - offsetAt(wall - DAY_MS)
    const later = wall - offsetAt(wall + DAY_MS)
    const real = [before, later].filter((instant) => instant + offsetAt(instant) === wall)
    return isHourly ? real : [Math.min(...(real.length > 0 ? real : [before]))]
  }

  function firstOfDay(day: number, after: number): number | null {
    const isSteady = offsetAt(day - DAY_MS) === offsetAt(day + 2 * DAY_MS)
    const margin = isSteady ? 0 : MAX_CHANGE_MS
    const from = after + offsetAt(after) - margin
    let best: { readonly wall: number; readonly instant: number } | null = null
    for (const wall of timesOf(fields, day, from)) {
      if (best !== null && wall >= best.wall + margin) break
      for (const instant of instantsOf(wall)) {
        if (instant > after && (best === null || instant < best.instant)) best = { wall, instant }
      }
    }
    return best?.instant ?? null
  }

  return {
    next(after) {
      // From the day before: over midnight clocks may be set back into it.
      const yesterday = Math.floor((after + offsetAt(after)) / DAY_MS) - 1
      for (let day = yesterday; day < yesterday + MAX_DAYS; day += 1) {
        const found = isDue(day * DAY_MS) ? firstOfDay(day * DAY_MS, after) : null
        if (found !== null) return found
      }
      return null
    },
  }
}

/** Between the next tick and the one after it, of whichever has the shortest pause, in milliseconds; null without any. */
export function shortestInterval(crons: readonly Cron[]): number | null {
  const intervals = crons.flatMap((cron) => {
    const first = cron.next(Date.now())
    const second = first === null ? null : cron.next(first)
    return first === null || second === null ? [] : [second - first]
  })
  return intervals.length === 0 ? null : Math.min(...intervals)
}

/** Times of a day on the wall that are not before `from`, in order. */
function* timesOf({ hour, minute, second }: Fields, day: number, from: number): Generator<number> {
  const [hours, minutes, seconds] = [hour, minute, second].map((values) => [...new Set(values)].sort((a, b) => a - b))
  for (const h of hours ?? []) {
    if (day + (h + 1) * HOUR_MS <= from) continue
    for (const m of minutes ?? []) {
      const begin = day + h * HOUR_MS + m * MINUTE_MS
      if (begin + MINUTE_MS <= from) continue
      for (const s of seconds ?? []) if (begin + s * SECOND_MS >= from) yield begin + s * SECOND_MS
    }
  }
}

/** node-cron knows what `L`, `15W` and `MON#2` mean. The task is asked only, and never started. */
function createDayTest({ dayOfMonth, month, dayOfWeek }: Fields): (day: number) => boolean {
  const noon = `0 0 12 ${dayOfMonth.join()} ${month.join()} ${dayOfWeek.join()}`
  const task = createTask(noon, () => {}, { timezone: 'Etc/UTC' })
  return (day) => task.match(new Date(day + DAY_MS / 2))
}

/** How far clocks of a zone are ahead of UTC at an instant, in milliseconds. Remembers the last answers: they are dear. */
function createOffsets(timezone: string): (instant: number) => number {
  const format = new Intl.DateTimeFormat('en-US', { timeZone: timezone, timeZoneName: 'longOffset' })
  const known = new Map<number, number>()
  return (instant) => {
    const step = Math.floor(instant / OFFSET_STEP_MS) * OFFSET_STEP_MS
    const remembered = known.get(step)
    if (remembered !== undefined) return remembered
    const name = format.formatToParts(step).find(({ type }) => type === 'timeZoneName')?.value ?? ''
    const [, sign, hours, minutes] = /^GMT([+-])(\d\d):(\d\d)/.exec(name) ?? []
    const size = Number(hours ?? 0) * HOUR_MS + Number(minutes ?? 0) * MINUTE_MS
    const offset = sign === '-' ? -size : size
    if (known.size >= OFFSETS_KEPT) known.clear()
    known.set(step, offset)
    return offset
  }
}
