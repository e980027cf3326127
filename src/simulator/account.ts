import { toBatchAnswer } from './batch-answer.js'
import { fromIsoText, type Micros, toIsoText } from './instant.js'
import { createJobTexts, type JobPatch, type ListedJob, toPatchedText } from './job.js'
import { type AddedJob, createListOrder, FIRST_ADDED, firstWhere } from './list-order.js'
import { drawBetween, TRAIT, toIdentity, toSeedKey } from './random.js'
import { createTimeline } from './timeline.js'

export interface AccountOptions {
  /** Same seed, same jobs. Default 1. */
  readonly seed?: number
  /** Generated jobs that exist at the start, all in their final state. Default 0. */
  readonly jobs?: number
  /** Raw items, listed unchanged and in this order below the generated jobs. Default none. */
  readonly items?: readonly unknown[]
  /** The clock, epoch ms; the account ignores steps back. Default the system clock. */
  readonly now?: () => number
  /** When the account began, epoch ms. The same epoch gives the same account again. Default now. */
  readonly epoch?: number
  /** The age of the oldest job in days, but at most an hour per job. Default 90. */
  readonly historyDays?: number
  /** How many times faster than in reality a job progresses; it changes no other rate. Default 1. */
  readonly speed?: number
  /** New jobs at the head, per minute of the clock. Default 0. */
  readonly arrivalsPerMinute?: number
  /** Generated jobs removed, per minute of the clock. Default 0. */
  readonly removalsPerMinute?: number
  /** Which jobs are removed: random ones, or the oldest first, as retention does. Default `anywhere`. */
  readonly removalsFrom?: 'anywhere' | 'tail'
  /** The most jobs that are listed. Each arrival above it removes the oldest job for good. Default no limit. */
  readonly cap?: number
  /** Share of the jobs that have the same createdAt as the job before, in ties of up to 64. Default 0.05. */
  readonly ties?: number
  /** Share of the jobs whose timestamps have microseconds. Default 0.5. */
  readonly fractions?: number
  /** Share of the jobs with an unknown field, status or format, or a timestamp with an offset. Default 0. */
  readonly oddities?: number
  /** `totalPages` of an empty list. Default 0. */
  readonly totalPagesWhenEmpty?: 0 | 1
}

export interface PageAsked {
  /** From 1. */
  readonly page: number
  readonly limit: number
}

export interface Pagination extends PageAsked {
  readonly total: number
  readonly totalPages: number
}

/** One page of the list. `jobs` are typed as the API sends them; raw items and patches may differ. */
export interface ListPage {
  readonly jobs: readonly ListedJob[]
  readonly pagination: Pagination
}

/** The jobs of one Spidra account, newest first. */
export interface Account {
  readonly total: number
  list(asked: PageAsked): ListPage
  /** The same page as JSON text. Items and total are from one instant. */
  listText(asked: PageAsked): string
  /** The job as it is listed now; undefined if it is not listed. */
  job(uuid: string): ListedJob | undefined
  /**
   * Yields the uuid of every listed job, newest first, except raw items without one. The account must not change
   * meanwhile.
   */
  allUuids(): Generator<string>
  /**
   * Adds a job, at the head unless `createdAt` places it lower. Without any fields it progresses as generated jobs do;
   * with fields it does not change by itself.
   */
  addJob(fields?: JobPatch): ListedJob
  removeJob(uuid: string): void
  /** Lists a removed job again, at its old position. */
  restoreJob(uuid: string): void
  /** The status and the items of a listed job, as JSON text of the instant. Undefined if it is not listed. */
  batchText(uuid: string): string | undefined
  /** Sets fields of that answer, to any value. They stay until they are set again. Null: the API forgets the batch. */
  patchBatch(uuid: string, patch: JobPatch | null): void
  /** Sets fields and stops the job's progress. Its position in the list stays, even if `createdAt` changes. */
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
  const texts = createJobTexts({ seedKey, speed, oddities }, createdAtOf)
  const order = createListOrder()
  const batchPatches = new Map<string, JobPatch | null>()

  let present = epoch
  /** How many jobs have been generated so far, removed ones included. */
  let generated = jobs
  let removals = 0

  /** Applies all arrivals and removals that are due by now. */
  function advance(): void {
    present = Math.max(present, Math.floor(now() * 1000))
    generated = timeline.countAt(present)
    const due = Math.floor(((present - epoch) * removalsPerMinute) / MINUTE)
    for (; removals < due; removals += 1) removeOne(removals)
    dropOldest(generated)
  }

  /** Applies the cap once `count` jobs have been generated. The result does not depend on when it was last applied. */
  function dropOldest(count: number): void {
    for (let over = order.size(count) - cap; over > 0; over -= 1) order.remove(order.numberAt(0))
  }

  /**
   * Removes one of the jobs that existed when the removal was due, so that the result does not depend on when it is
   * applied.
   */
  function removeOne(removal: number): void {
    const instant = epoch + Math.ceil(((removal + 1) * MINUTE) / removalsPerMinute)
    const count = timeline.countAt(instant)
    dropOldest(count)
    const size = order.generatedSize(count)
    if (size === 0) return
    const rank = removalsFrom === 'tail' ? 0 : drawBetween(toIdentity(seedKey, removal), TRAIT.removal, 0, size - 1)
    order.remove(order.generatedAt(rank))
  }

  function add(anchor: number, createdAt: Micros): number {
    const job = { number: FIRST_ADDED + added.size, anchor, createdAt }
    added.set(job.number, job)
    order.add(job)
    return job.number
  }

  function numberOf(uuid: string, isListed: boolean): number {
    advance()
    const number = texts.numberOf(uuid)
    if (number === null || order.has(number, generated) !== isListed || (number >= generated && !added.has(number))) {
      throw new Error(`job ${uuid} is ${isListed ? 'not' : 'still, or was never,'} listed`)
    }
    return number
  }

  function newerThanAll(): Micros {
    const size = order.size(generated)
    return size === 0 ? present : Math.max(present, createdAtOf(order.numberAt(size - 1)) + 1)
  }

  function setFields(number: number, fields: JobPatch): void {
    texts.setText(number, toPatchedText(texts.textOf(number, present), fields, toIsoText(present)))
  }

  function readJob(number: number): ListedJob {
    return JSON.parse(texts.textOf(number, present))
  }

  function listText(asked: PageAsked): string {
    advance()
    return toPageText(asked, {
      total: order.size(generated),
      totalPagesWhenEmpty,
      itemAt: (position) => texts.textOf(order.numberAt(position), present),
    })
  }

  for (const item of items.toReversed()) {
    // Older than every job, so that all jobs are listed above them.
    texts.setText(add(0, Number.NEGATIVE_INFINITY), JSON.stringify(item) ?? 'null')
  }

  return {
    get total() {
      advance()
      return order.size(generated)
    },
    list: (asked) => JSON.parse(listText(asked)),
    listText,
    job(uuid) {
      advance()
      const number = texts.numberOf(uuid)
      return number !== null && order.has(number, generated) ? readJob(number) : undefined
    },
    *allUuids() {
      advance()
      for (let position = order.size(generated) - 1; position >= 0; position -= 1) {
        const uuid = texts.uuidOf(order.numberAt(position))
        if (uuid !== undefined) yield uuid
      }
    },
    batchText(uuid) {
      advance()
      const number = texts.numberOf(uuid)
      const patch = batchPatches.get(uuid)
      if (number === null || patch === null || !order.has(number, generated)) return undefined
      return JSON.stringify({ ...toBatchAnswer(readJob(number), speed), ...patch })
    },
    patchBatch: (uuid, patch) =>
      void batchPatches.set(uuid, patch === null ? null : { ...batchPatches.get(uuid), ...patch }),
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
    removeJob: (uuid) => order.remove(numberOf(uuid, true)),
    restoreJob(uuid) {
      const number = numberOf(uuid, false)
      const job = added.get(number)
      if (job === undefined) order.restore(number)
      else order.add(job)
    },
    updateJob(uuid, patch) {
      const number = numberOf(uuid, true)
      setFields(number, patch)
      return readJob(number)
    },
  }
}

/** Writes a page as JSON, newest first. `itemAt` takes a position counted from the oldest job. */
function toPageText(
  asked: PageAsked,
  list: { readonly total: number; readonly totalPagesWhenEmpty: number; itemAt(position: number): string },
): string {
  const { page, limit } = asked
  const { total } = list
  const above = Math.min(total, (page - 1) * limit)
  const texts: string[] = []
  for (let index = above; index < Math.min(total, above + limit); index += 1) texts.push(list.itemAt(total - 1 - index))
  const totalPages = total === 0 ? list.totalPagesWhenEmpty : Math.ceil(total / limit)
  const pagination: Pagination = { page, limit, total, totalPages }
  return `{"jobs":[${texts.join(',')}],"pagination":${JSON.stringify(pagination)}}`
}
