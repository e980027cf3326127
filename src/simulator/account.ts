import { fromIsoText, type Micros, toIsoText } from './instant.js'
import { type JobPatch, type ListedJob, toPatchedText } from './job.js'
import { createJobBook } from './job-book.js'
import { type AddedJob, createRoll, FIRST_ADDED, firstWhere } from './list-order.js'
import { type ListPage, type PageAsked, toPageText } from './list-page.js'
import { drawBetween, TRAIT, toIdentity, toSeedKey } from './random.js'
import { createTimeline } from './timeline.js'

export interface AccountOptions {
  /** Same seed, same jobs. Default 1. */
  readonly seed?: number
  /** Jobs that exist at the start, all in their final state. Default 0. */
  readonly jobs?: number
  /** Fixed raw items, kept as they are and in their order, listed below the generated jobs. Default none. */
  readonly items?: readonly unknown[]
  /** The clock, epoch ms; the account never lets it go back. Default the real one. */
  readonly now?: () => number
  /** When the account came to life, epoch ms; hand in the same one to get the same account again. Default now. */
  readonly epoch?: number
  /** How far back the first jobs lie (at most an hour for each job). Default 90. */
  readonly historyDays?: number
  /** How many times faster than in reality a job lives; it changes no other rate. Default 1. */
  readonly speed?: number
  /** New jobs at the head, per minute of the clock. Default 0. */
  readonly arrivalsPerMinute?: number
  /** Generated jobs that vanish, per minute of the clock. Default 0. */
  readonly removalsPerMinute?: number
  /** Where they vanish: anywhere, or the oldest first, as retention does. Default `anywhere`. */
  readonly removalsFrom?: 'anywhere' | 'tail'
  /** Jobs listed at most: once there are as many, each arrival drops the oldest for good. Default no limit. */
  readonly cap?: number
  /** Share of the jobs that have the createdAt of the job before them, in ties of up to 64. Default 0.05. */
  readonly ties?: number
  /** Share of the jobs whose timestamps have microseconds. Default 0.5. */
  readonly fractions?: number
  /** Share of the jobs with an unknown field, status or format, or a timestamp with an offset. Default 0. */
  readonly oddities?: number
  /** `totalPages` where nothing is listed. Default 0. */
  readonly totalPagesWhenEmpty?: 0 | 1
}

/** The jobs of one Spidra account, newest first. */
export interface Account {
  readonly total: number
  list(asked: PageAsked): ListPage
  /** The same as JSON text. Items and total are one snapshot. */
  listText(asked: PageAsked): string
  /** The job as it is listed now; undefined if it is not. */
  job(uuid: string): ListedJob | undefined
  /** Every listed job's uuid, newest first, raw items without one left out. The account must not change meanwhile. */
  allUuids(): Generator<string>
  /**
   * Adds a job, at the head unless `createdAt` puts it lower. Without other fields it lives as generated jobs do;
   * with them it stays as it is.
   */
  addJob(fields?: JobPatch): ListedJob
  removeJob(uuid: string): void
  /** Lists a removed job again, in its old place. */
  restoreJob(uuid: string): void
  /** Sets fields and stops the job's life. Its place in the list stays, whatever `createdAt` says. */
  updateJob(uuid: string, patch: JobPatch): ListedJob
}

const MINUTE: Micros = 60_000_000

export function createAccount(options: AccountOptions = {}): Account {
  const { seed = 1, items = [], now = Date.now, speed = 1, historyDays = 90, cap = Number.POSITIVE_INFINITY } = options
  const jobs = Math.min(options.jobs ?? 0, cap)
  const { arrivalsPerMinute = 0, removalsPerMinute = 0, removalsFrom = 'anywhere' } = options
  const { ties = 0.05, fractions = 0.5, oddities = 0, totalPagesWhenEmpty = 0 } = options

  const seedKey = toSeedKey(seed)
  const epoch: Micros = Math.floor((options.epoch ?? now()) * 1000)
  const timeline = createTimeline({ seedKey, jobs, epoch, historyDays, arrivalsPerMinute, ties, fractions, speed })
  const added = new Map<number, AddedJob>()
  const createdAtOf = (number: number) => added.get(number)?.createdAt ?? timeline.createdAt(number)
  const book = createJobBook({ seedKey, speed, oddities }, createdAtOf)
  const roll = createRoll()

  let present = epoch
  let generated = jobs
  let removals = 0

  /** Lets all happen that is due by now. */
  function advance(): void {
    present = Math.max(present, Math.floor(now() * 1000))
    generated = timeline.countAt(present)
    const due = Math.floor(((present - epoch) * removalsPerMinute) / MINUTE)
    for (; removals < due; removals += 1) removeOne(removals)
    dropOldest(generated)
  }

  /** Applies the cap to a list of so many generated jobs. How many arrived since it was last applied matters not. */
  function dropOldest(count: number): void {
    for (let over = roll.size(count) - cap; over > 0; over -= 1) roll.remove(roll.numberAt(0))
  }

  /** Chosen among the jobs that existed when the removal was due, so that it matters not when someone looks. */
  function removeOne(removal: number): void {
    const instant = epoch + Math.ceil(((removal + 1) * MINUTE) / removalsPerMinute)
    const count = timeline.countAt(instant)
    dropOldest(count)
    const size = roll.generatedSize(count)
    if (size === 0) return
    const rank = removalsFrom === 'tail' ? 0 : drawBetween(toIdentity(seedKey, removal), TRAIT.removal, 0, size - 1)
    roll.remove(roll.generatedAt(rank))
  }

  function add(anchor: number, createdAt: Micros): number {
    const job = { number: FIRST_ADDED + added.size, anchor, createdAt }
    added.set(job.number, job)
    roll.add(job)
    return job.number
  }

  function numberOf(uuid: string, isListed: boolean): number {
    advance()
    const number = book.numberOf(uuid)
    if (number === null || roll.has(number, generated) !== isListed || (number >= generated && !added.has(number))) {
      throw new Error(`job ${uuid} is ${isListed ? 'not' : 'still, or was never,'} listed`)
    }
    return number
  }

  function newerThanAll(): Micros {
    const size = roll.size(generated)
    return size === 0 ? present : Math.max(present, createdAtOf(roll.numberAt(size - 1)) + 1)
  }

  function setFields(number: number, fields: JobPatch): void {
    book.setText(number, toPatchedText(book.textOf(number, present), fields, toIsoText(present)))
  }

  function readJob(number: number): ListedJob {
    return JSON.parse(book.textOf(number, present))
  }

  function listText(asked: PageAsked): string {
    advance()
    return toPageText(asked, {
      total: roll.size(generated),
      totalPagesWhenEmpty,
      itemAt: (position) => book.textOf(roll.numberAt(position), present),
    })
  }

  for (const item of items.toReversed()) {
    // Older than anything, so that whatever is added later comes above them.
    book.setText(add(0, Number.NEGATIVE_INFINITY), JSON.stringify(item) ?? 'null')
  }

  return {
    get total() {
      advance()
      return roll.size(generated)
    },
    list: (asked) => JSON.parse(listText(asked)),
    listText,
    job(uuid) {
      advance()
      const number = book.numberOf(uuid)
      return number !== null && roll.has(number, generated) ? readJob(number) : undefined
    },
    *allUuids() {
      advance()
      for (let position = roll.size(generated) - 1; position >= 0; position -= 1) {
        const uuid = book.uuidOf(roll.numberAt(position))
        if (uuid !== undefined) yield uuid
      }
    },
    addJob(fields = {}) {
      advance()
      const given = typeof fields.createdAt === 'string' ? fromIsoText(fields.createdAt) : null
      const createdAt = given ?? newerThanAll()
      const number = add(
        firstWhere(generated, (other) => timeline.createdAt(other) > createdAt),
        createdAt,
      )
      if (Object.keys(fields).length > 0) setFields(number, fields)
      dropOldest(generated)
      return readJob(number)
    },
    removeJob: (uuid) => roll.remove(numberOf(uuid, true)),
    restoreJob(uuid) {
      const number = numberOf(uuid, false)
      const job = added.get(number)
      if (job === undefined) roll.restore(number)
      else roll.add(job)
    },
    updateJob(uuid, patch) {
      const number = numberOf(uuid, true)
      setFields(number, patch)
      return readJob(number)
    },
  }
}
