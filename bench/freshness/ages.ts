import { fromIsoText } from '../../src/simulator/instant.js'
import { LONGEST_LIFE_MS, lifeAt } from '../../src/simulator/life.js'

/** From an instant on, in epoch ms, the API says these fields of a job: status, total, completed and failed count. */
export interface Said {
  readonly at: number
  readonly fields: string
}

/** Fewer milliseconds of a job's life than it stays in one state. */
const STEP_MS = 500

/**
 * Lists all that the API says of a generated job, from its creation to its final state. The life of a job depends on its
 * identity alone, which is the first 32 bits of its uuid, so all of it is known beforehand, with exact instants.
 */
export function lifeOf(uuid: string, createdAt: string, speed: number): Said[] {
  const bornAt = (fromIsoText(createdAt) ?? Number.NaN) / 1000
  const identity = Number.parseInt(uuid.slice(0, 8), 16)
  const fieldsAt = (ageMs: number) => {
    const { status, totalUrls, completedCount, failedCount } = lifeAt(identity, ageMs)
    return `${status} ${totalUrls} ${completedCount} ${failedCount}`
  }
  const said: Said[] = [{ at: bornAt, fields: fieldsAt(0) }]

  /** Finds the changes after `from` up to `to`, by halving. */
  function findChanges(from: number, to: number, before: string, after: string): void {
    if (before === after) return
    if (to - from === 1) {
      said.push({ at: bornAt + to / speed, fields: after })
      return
    }
    const middle = (from + to) >> 1
    const between = fieldsAt(middle)
    findChanges(from, middle, before, between)
    findChanges(middle, to, between, after)
  }

  let before = said[0]?.fields ?? ''
  for (let age = 0; age < LONGEST_LIFE_MS; age += STEP_MS) {
    const after = fieldsAt(age + STEP_MS)
    findChanges(age, age + STEP_MS, before, after)
    before = after
  }
  return said
}

/** What the API says at an instant. */
export function saidAt(said: readonly Said[], instant: number): string | undefined {
  return said.findLast(({ at }) => at <= instant)?.fields
}

/**
 * The age of a row at an instant, in milliseconds: 0 while it equals what the API says, else the time since the API first
 * said something else than the row. A missing row (undefined) is as old as its job.
 */
export function ageOf(said: readonly Said[], row: string | undefined, instant: number): number {
  const past = said.filter(({ at }) => at <= instant)
  const held = past.findLastIndex(({ fields }) => fields === row)
  const outdated = past[held + 1]
  return outdated === undefined ? 0 : instant - outdated.at
}

/** Counts ages of rows, so that millions of them need no memory. */
export interface AgeCounts {
  /** Adds `times` rows of an age in scaled minutes. */
  add(minutes: number, times?: number): void
  /** The age that a share of the rows does not exceed, to a tenth of a minute; null without rows. */
  percentile(share: number): number | null
}

const TENTH = 10

export function createAgeCounts(): AgeCounts {
  /** Rows by their age in tenths of a minute. */
  const counts = new Map<number, number>()
  let rows = 0
  return {
    add(minutes, times = 1) {
      const tenths = Math.round(minutes * TENTH)
      counts.set(tenths, (counts.get(tenths) ?? 0) + times)
      rows += times
    },
    percentile(share) {
      if (rows === 0) return null
      let seen = 0
      for (const [tenths, times] of [...counts].sort(([one], [other]) => one - other)) {
        seen += times
        if (seen >= share * rows) return tenths / TENTH
      }
      return null
    },
  }
}
