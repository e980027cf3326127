import { fromIsoText, type Micros, toIsoText, wholeSecond } from './instant.js'
import { lifeAt } from './life.js'
import { draw, drawShare, fromIdentity, TRAIT, toIdentity } from './random.js'

/** A job as the list shows it. It may have unknown fields too. */
export interface ListedJob {
  readonly uuid: string
  readonly status: string
  readonly totalUrls: number
  readonly completedCount: number
  readonly failedCount: number
  readonly outputFormat: string | null
  readonly scrapingChannel: string | null
  readonly createdAt: string
  readonly finishedAt: string | null
  readonly [unknownField: string]: unknown
}

/** Fields to set by hand, to any value: a test may need one that the API would never send. */
export type JobPatch = Readonly<Record<string, unknown>>

const FOUR_DIGITS = Array.from({ length: 0x10000 }, (_, value) => value.toString(16).padStart(4, '0'))

/** What generated jobs are made from. */
export interface JobOptions {
  readonly seedKey: number
  /** How many times faster than in reality a job progresses. */
  readonly speed: number
  /** Share of the jobs with a field, status or format that is not documented. */
  readonly oddities: number
}

/**
 * Makes the uuid (of the form of version 4) of a job. Its first 32 bits are the job's identity, so no two jobs of a
 * seed share a uuid, and the number can be computed from it.
 */
function toUuid(seedKey: number, number: number): string {
  const identity = toIdentity(seedKey, number)
  // Jobs of two seeds may share the first 32 bits. The seed goes into the others too, so that the uuids differ.
  const others = identity ^ seedKey
  const second = (draw(others, TRAIT.uuidSecond) & 0xffff0fff) | 0x4000
  const third = (draw(others, TRAIT.uuidThird) & 0x3fffffff) | 0x80000000
  const fourth = draw(others, TRAIT.uuidFourth)
  const tail = `${low(third)}${high(fourth)}${low(fourth)}`
  return `${high(identity)}${low(identity)}-${high(second)}-${low(second)}-${high(third)}-${tail}`
}

/** Computes the number of the job with this uuid; null if no job of this seed has it. */
function fromUuid(seedKey: number, uuid: string): number | null {
  const number = fromIdentity(seedKey, Number.parseInt(uuid.slice(0, 8), 16))
  return toUuid(seedKey, number) === uuid ? number : null
}

/** Writes a job at an instant as JSON, by hand because a page has 50 jobs and `JSON.stringify` is slow. */
function toJobText(options: JobOptions, number: number, createdAt: Micros, present: Micros): string {
  const identity = toIdentity(options.seedKey, number)
  const life = lifeAt(identity, ((present - createdAt) / 1000) * options.speed)
  const format = drawShare(identity, TRAIT.format) < 0.7 ? 'json' : 'markdown'
  const channel = drawShare(identity, TRAIT.channel) < 0.8 ? 'api' : 'playground'
  const finishedAt = life.finishedMs === null ? 'null' : `"${finishText(createdAt, life.finishedMs / options.speed)}"`
  const text =
    `{"uuid":"${toUuid(options.seedKey, number)}","status":"${life.status}","totalUrls":${life.totalUrls},` +
    `"completedCount":${life.completedCount},"failedCount":${life.failedCount},"outputFormat":"${format}",` +
    `"scrapingChannel":"${channel}","createdAt":"${toIsoText(createdAt)}","finishedAt":${finishedAt}}`
  return options.oddities > 0 && drawShare(identity, TRAIT.oddity) < options.oddities ? toOddText(text, identity) : text
}

/** Sets fields of a job, given as JSON. Counts and finishedAt that are not given are adjusted to a new status. */
export function toPatchedText(text: string, patch: JobPatch, finishedNow: string): string {
  const job: ListedJob = JSON.parse(text)
  return JSON.stringify({ ...job, ...toStatus(job, patch, finishedNow), ...patch })
}

function toStatus(job: ListedJob, patch: JobPatch, finishedNow: string): JobPatch {
  if (patch.status === undefined && patch.totalUrls === undefined) return {}
  const totalUrls = typeof patch.totalUrls === 'number' ? patch.totalUrls : job.totalUrls
  const finishedAt = job.finishedAt ?? finishedNow
  switch (patch.status ?? job.status) {
    case 'pending':
      return { completedCount: 0, failedCount: 0, finishedAt: null }
    case 'running':
      return {
        completedCount: Math.max(0, Math.min(job.completedCount, totalUrls - 1)),
        failedCount: 0,
        finishedAt: null,
      }
    case 'completed': {
      const failedCount = typeof patch.failedCount === 'number' ? patch.failedCount : 0
      return { completedCount: totalUrls - failedCount, failedCount, finishedAt }
    }
    case 'failed':
      return { completedCount: 0, failedCount: totalUrls, finishedAt }
    case 'cancelled':
      return { completedCount: Math.max(0, Math.min(job.completedCount, totalUrls - 1)), failedCount: 0, finishedAt }
    default:
      return {}
  }
}

/** Writes finishedAt with the precision of createdAt: otherwise a finish in the same second could seem earlier. */
function finishText(createdAt: Micros, ageMs: number): string {
  const finished = createdAt + Math.floor(ageMs * 1000)
  return toIsoText(createdAt === wholeSecond(createdAt) ? wholeSecond(finished) : finished)
}

function toOddText(text: string, identity: number): string {
  const job: ListedJob = JSON.parse(text)
  switch (draw(identity, TRAIT.oddityKind) % 4) {
    case 0:
      return JSON.stringify({ ...job, priority: 3, labels: { team: 'growth', tags: ['a', 'b'] } })
    case 1:
      return JSON.stringify({ ...job, status: job.finishedAt === null ? 'paused' : 'expired' })
    case 2:
      return JSON.stringify({ ...job, outputFormat: 'table', scrapingChannel: null })
    default:
      return JSON.stringify({ ...job, createdAt: withOffset(job.createdAt) })
  }
}

/** Writes the same instant with the offset +02:00. */
function withOffset(text: string): string {
  const instant = fromIsoText(text) ?? 0
  return toIsoText(instant + 7_200_000_000).replace('Z', '+02:00')
}

function high(bits: number): string | undefined {
  return FOUR_DIGITS[bits >>> 16]
}

function low(bits: number): string | undefined {
  return FOUR_DIGITS[bits & 0xffff]
}

/** The JSON of each job by its number: generated, unless it was set by hand. */
export interface JobTexts {
  textOf(number: number, present: Micros): string
  /** Undefined for a raw item without a uuid. */
  uuidOf(number: number): string | undefined
  /** The job that has this uuid now; null if none has. */
  numberOf(uuid: string): number | null
  /** Fixes the JSON of a job, so that it no longer changes with time. */
  setText(number: number, text: string): void
}

export function createJobTexts(options: JobOptions, createdAtOf: (number: number) => Micros): JobTexts {
  const texts = new Map<number, string>()
  const numbersByGivenUuid = new Map<string, number>()

  function uuidOf(number: number): string | undefined {
    const text = texts.get(number)
    return text === undefined ? toUuid(options.seedKey, number) : readUuid(text)
  }

  return {
    textOf: (number, present) => texts.get(number) ?? toJobText(options, number, createdAtOf(number), present),
    uuidOf,
    numberOf(uuid) {
      const number = numbersByGivenUuid.get(uuid) ?? fromUuid(options.seedKey, uuid)
      return number !== null && uuidOf(number) === uuid ? number : null
    },
    setText(number, text) {
      texts.set(number, text)
      const uuid = readUuid(text)
      if (uuid !== undefined) numbersByGivenUuid.set(uuid, number)
    },
  }
}

function readUuid(text: string): string | undefined {
  const item: unknown = JSON.parse(text)
  if (typeof item !== 'object' || item === null || !('uuid' in item)) return undefined
  return typeof item.uuid === 'string' ? item.uuid : undefined
}
