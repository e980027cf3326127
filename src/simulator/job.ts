import { fromIsoText, type Micros, toIsoText, wholeSecond } from './instant.js'
import { lifeAt } from './life.js'
import { draw, drawShare, fromIdentity, TRAIT, toIdentity } from './random.js'

/** A job as the list shows it. Unknown fields may stand beside the known ones. */
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

/** Fields to set by hand, to any value: a test may want one that the API would never send. */
export type JobPatch = Readonly<Record<string, unknown>>

const FOUR_DIGITS = Array.from({ length: 0x10000 }, (_, value) => value.toString(16).padStart(4, '0'))

export interface JobLook {
  readonly seedKey: number
  /** How many times faster than in reality a job lives. */
  readonly speed: number
  /** Share of the jobs with a field, status or format that no documentation knows. */
  readonly oddities: number
}

/**
 * The uuid (version 4 in form) of a job. The job's identity is its first word, so no two jobs share one, and the number
 * can be read back from it.
 */
export function toUuid(seedKey: number, number: number): string {
  const identity = toIdentity(seedKey, number)
  // Of two seeds, jobs with the same first word must still differ: the seed goes into the other words too.
  const others = identity ^ seedKey
  const second = (draw(others, TRAIT.uuidSecond) & 0xffff0fff) | 0x4000
  const third = (draw(others, TRAIT.uuidThird) & 0x3fffffff) | 0x80000000
  const fourth = draw(others, TRAIT.uuidFourth)
  const tail = `${low(third)}${high(fourth)}${low(fourth)}`
  return `${high(identity)}${low(identity)}-${high(second)}-${low(second)}-${high(third)}-${tail}`
}

/** The number of the job with this uuid; null if no job of this seed has it. */
export function fromUuid(seedKey: number, uuid: string): number | null {
  const number = fromIdentity(seedKey, Number.parseInt(uuid.slice(0, 8), 16))
  return toUuid(seedKey, number) === uuid ? number : null
}

/** A job at an instant, as JSON. Written by hand, because a page is 50 of them and `JSON.stringify` takes its time. */
export function toJobText(look: JobLook, number: number, createdAt: Micros, present: Micros): string {
  const identity = toIdentity(look.seedKey, number)
  const life = lifeAt(identity, ((present - createdAt) / 1000) * look.speed)
  const format = drawShare(identity, TRAIT.format) < 0.7 ? 'json' : 'markdown'
  const channel = drawShare(identity, TRAIT.channel) < 0.8 ? 'api' : 'playground'
  const finishedAt = life.finishedMs === null ? 'null' : `"${finishText(createdAt, life.finishedMs / look.speed)}"`
  const text =
    `{"uuid":"${toUuid(look.seedKey, number)}","status":"${life.status}","totalUrls":${life.totalUrls},` +
    `"completedCount":${life.completedCount},"failedCount":${life.failedCount},"outputFormat":"${format}",` +
    `"scrapingChannel":"${channel}","createdAt":"${toIsoText(createdAt)}","finishedAt":${finishedAt}}`
  return look.oddities > 0 && drawShare(identity, TRAIT.oddity) < look.oddities ? toOddText(text, identity) : text
}

/** The JSON of a job with fields set by hand; those left out are made to agree with a new status. */
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

/** A finish is told as finely as the creation: else one in the same second could seem to lie before it. */
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

/** The same instant on a clock two hours ahead. */
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
