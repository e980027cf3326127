import type { Micros } from './instant.js'

/** Numbers from here on are jobs added by hand; those below are generated. */
export const FIRST_ADDED = 2 ** 31

/** A job added by hand, and where: above the `anchor` oldest generated jobs. */
export interface AddedJob {
  readonly number: number
  readonly anchor: number
  readonly createdAt: Micros
}

/**
 * Which jobs are listed, and where: all generated ones but those removed, and those added by hand among them.
 * It remembers the changes alone, so a million jobs without one cost nothing. Positions count from the oldest job.
 */
export interface Roll {
  size(generated: number): number
  /** The number of the job at a position below `size`. */
  numberAt(position: number): number
  /** How many of the oldest generated jobs are listed. */
  generatedSize(generated: number): number
  /** The generated job that has `rank` listed generated ones below it. */
  generatedAt(rank: number): number
  has(number: number, generated: number): boolean
  /** Goes above what was added at the same anchor with the same createdAt or an older one. */
  add(job: AddedJob): void
  remove(number: number): void
  /** Takes back the removal of a generated job. */
  restore(number: number): void
}

export function createRoll(): Roll {
  const removed: number[] = []
  let added: AddedJob[] = []

  const removedBelow = (number: number) => firstWhere(removed.length, (at) => (removed[at] ?? 0) >= number)
  const generatedSize = (generated: number) => generated - removedBelow(generated)
  const positionOf = (at: number) => generatedSize(added[at]?.anchor ?? 0) + at

  /** removed[at] - at listed jobs lie below removed[at]; those with `rank` or fewer below them lie below the job. */
  const generatedAt = (rank: number) => rank + firstWhere(removed.length, (at) => (removed[at] ?? 0) - at > rank)

  function numberAt(position: number): number {
    const at = firstWhere(added.length, (index) => positionOf(index) >= position)
    const job = added[at]
    return job !== undefined && positionOf(at) === position ? job.number : generatedAt(position - at)
  }

  function has(number: number, generated: number): boolean {
    if (number >= FIRST_ADDED) return added.some((job) => job.number === number)
    return number < generated && removed[removedBelow(number)] !== number
  }

  function add(job: AddedJob): void {
    const place = firstWhere(added.length, (at) => isAbove(added[at] ?? job, job))
    added.splice(place, 0, job)
  }

  function remove(number: number): void {
    if (number < FIRST_ADDED) removed.splice(removedBelow(number), 0, number)
    else added = added.filter((job) => job.number !== number)
  }

  return {
    size: (generated) => generatedSize(generated) + added.length,
    numberAt,
    generatedSize,
    generatedAt,
    has,
    add,
    remove,
    restore: (number) => void removed.splice(removedBelow(number), 1),
  }
}

/** The first index below `length` for which `holds` is true, else `length`; it must stay true from there on. */
export function firstWhere(length: number, holds: (index: number) => boolean): number {
  let low = 0
  let high = length
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (holds(middle)) high = middle
    else low = middle + 1
  }
  return low
}

function isAbove(job: AddedJob, other: AddedJob): boolean {
  return job.anchor > other.anchor || (job.anchor === other.anchor && job.createdAt > other.createdAt)
}
