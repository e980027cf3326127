import { createHash } from 'node:crypto'
import { fromIsoText, toIsoText } from './instant.js'
import type { ListedJob } from './job.js'
import { FASTEST_URL_MS, SHORTEST_QUEUE_MS } from './life.js'
import { draw, drawBetween, drawShare, TRAIT, toIdentity } from './random.js'

/** One URL of a batch, as `GET /batch/scrape/{batchId}` shows it. */
export interface BatchItem {
  readonly uuid: string
  readonly url: string
  readonly jobId: string | null
  readonly status: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled'
  readonly result: unknown
  readonly error: string | null
  readonly creditsUsed: number
  readonly startedAt: string | null
  readonly finishedAt: string | null
  readonly screenshotUrl: string | null
}

/** The answer of that endpoint. It has no uuid, format or channel. Typed as the API sends it; patches may differ. */
export interface BatchAnswer {
  readonly status: string
  readonly totalUrls: number
  readonly completedCount: number
  readonly failedCount: number
  readonly items: readonly BatchItem[]
  readonly createdAt: string
  readonly finishedAt: string | null
}

/** Items that a batch scrapes at a time. */
const IN_PROGRESS = 3

type Site = readonly [site: string, error: string]

/** Sites that mostly answer, with the path of their pages, and how they fail. */
const SITES: readonly Site[] = [
  ['shop.example.com/p', 'HTTP 500 Internal Server Error'],
  ['news.example.org/story', 'HTTP 429 Too Many Requests'],
  ['jobs.example.net/offer', 'Navigation timeout of 30000 ms exceeded'],
  ['maps.example.com/place', 'HTTP 502 Bad Gateway'],
]

/** Sites that often fail. */
const FAILING: readonly Site[] = [
  ['slow.example.com/list', 'Navigation timeout of 30000 ms exceeded'],
  ['guarded.example.org/item', 'HTTP 403 Forbidden'],
  ['gone.example.net/page', 'net::ERR_NAME_NOT_RESOLVED'],
  ['puzzle.example.com/check', 'Captcha could not be solved'],
  ['moved.example.org/old', 'HTTP 404 Not Found'],
]

/**
 * Writes the answer for a batch from the job as the list shows it, so that the two agree at every instant.
 *
 * The items that have completed stand at the front, those that failed at the end, and both grow towards the middle. So an
 * item that has ended never changes, except that a retry makes failed items pending again, as the documentation says.
 *
 * @param job as the list shows it now. Counts that are no numbers count as 0.
 * @param speed how many times faster than in reality the job progresses.
 */
export function toBatchAnswer(job: ListedJob, speed: number): BatchAnswer {
  const { status, totalUrls, completedCount, failedCount, createdAt, finishedAt } = job
  const total = toCount(totalUrls)
  const completed = Math.min(total, toCount(completedCount))
  const failed = Math.min(total - completed, toCount(failedCount))
  const items = Array.from({ length: total }, (_, position) => {
    const state = stateAt(position, { status, total, completed, failed })
    return toItem(job, position, { total, speed, status: state })
  })
  return { status, totalUrls, completedCount, failedCount, items, createdAt, finishedAt }
}

function toCount(value: unknown): number {
  return typeof value === 'number' && value > 0 ? Math.floor(value) : 0
}

function stateAt(
  position: number,
  job: { readonly status: string; readonly total: number; readonly completed: number; readonly failed: number },
): BatchItem['status'] {
  if (position < job.completed) return 'completed'
  if (position >= job.total - job.failed) return 'failed'
  if (job.status === 'cancelled') return 'cancelled'
  return job.status === 'running' && position < job.completed + IN_PROGRESS ? 'running' : 'pending'
}

function toItem(
  job: ListedJob,
  position: number,
  { total, speed, status }: { readonly total: number; readonly speed: number; readonly status: BatchItem['status'] },
): BatchItem {
  const hash = createHash('sha256').update(`${job.uuid}:${position}`).digest('hex')
  const identity = toIdentity(Number.parseInt(hash.slice(0, 8), 16), position)
  const [site, failure] = siteOf(identity, position, total)
  const url = `https://${site}/${1 + (draw(identity, TRAIT.itemPage) % 9_999)}`
  const times = timesOf(job.createdAt, status === 'failed' ? total - 1 - position : position, speed)
  const hasStarted = status !== 'pending' && status !== 'cancelled'
  const hasEnded = status === 'completed' || status === 'failed'
  const isCompleted = status === 'completed'
  return {
    uuid: toUuid(hash),
    url,
    jobId: hasStarted ? `scrape-${hash.slice(32, 44)}` : null,
    status,
    result: isCompleted ? toResult(job.outputFormat, url, identity) : null,
    error: status === 'failed' ? failure : null,
    creditsUsed: isCompleted ? creditsOf(identity) : 0,
    startedAt: hasStarted ? times.startedAt : null,
    finishedAt: hasEnded ? times.finishedAt : null,
    screenshotUrl:
      isCompleted && drawShare(identity, TRAIT.itemScreenshot) < 0.2
        ? `https://files.example.com/shots/${hash.slice(44, 56)}.png?expires=${hash.slice(56, 60)}&signature=${hash.slice(0, 24)}`
        : null,
  }
}

/** Draws a site. Those that often fail belong to the last third of a batch, where items fail. */
function siteOf(identity: number, position: number, total: number): Site {
  const sites = position >= Math.floor((2 * total) / 3) ? FAILING : SITES
  return sites[draw(identity, TRAIT.itemSite) % sites.length] ?? ['example.com/', 'HTTP 500 Internal Server Error']
}

/**
 * When the item with this place in the order of work started and ended: as early as the life of a job allows, so that no
 * item has ended in the future. It does not depend on the present.
 */
function timesOf(
  createdAt: unknown,
  place: number,
  speed: number,
): { readonly startedAt: string | null; readonly finishedAt: string | null } {
  const created = typeof createdAt === 'string' ? fromIsoText(createdAt) : null
  if (created === null) return { startedAt: null, finishedAt: null }
  const at = (ms: number) => toIsoText(created + Math.floor((ms * 1000) / speed))
  const startedMs = SHORTEST_QUEUE_MS + place * FASTEST_URL_MS
  return { startedAt: at(startedMs), finishedAt: at(startedMs + FASTEST_URL_MS) }
}

function creditsOf(identity: number): number {
  return [1, 1, 1, 2, 5, 1.5][draw(identity, TRAIT.itemCredits) % 6] ?? 1
}

/** A result of realistic shape: a page in Markdown, one object, or the rows of a list. */
function toResult(format: unknown, url: string, identity: number): unknown {
  const product = (number: number) => ({
    title: `Article ${number}`,
    price: Math.round(drawShare(identity, TRAIT.itemResult + number) * 20_000) / 100,
    currency: 'EUR',
    inStock: number % 3 !== 0,
    url: `${url}#${number}`,
  })
  if (format !== 'json') {
    const paragraphs = Array.from(
      { length: drawBetween(identity, TRAIT.itemResult, 2, 20) },
      (_, number) => `## Section ${number + 1}\n\nA paragraph of [the page](${url}) with *some* words of text in it.`,
    )
    return [`# ${url}`, ...paragraphs].join('\n\n')
  }
  const shape = drawShare(identity, TRAIT.itemShape)
  if (shape < 0.05) return []
  if (shape < 0.4) return Array.from({ length: 1 + (draw(identity, TRAIT.itemShape) % 12) }, (_, row) => product(row))
  return product(0)
}

/** A uuid of the form of version 4. */
function toUuid(hash: string): string {
  const variant = ((Number.parseInt(hash.slice(16, 17), 16) & 0x3) | 0x8).toString(16)
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-4${hash.slice(13, 16)}-${variant}${hash.slice(17, 20)}-${hash.slice(20, 32)}`
}

/** Changes an item into one that a real API must never send, each in another way. */
export const ITEM_MALFORMATIONS: readonly ((item: BatchItem) => unknown)[] = [
  ({ uuid: _, ...rest }) => rest,
  ({ url: _, ...rest }) => rest,
  (item) => ({ ...item, uuid: 'not-a-uuid' }),
  (item) => ({ ...item, status: 'skipped' }),
  (item) => ({ ...item, result: 'a NUL \u0000 and half a pair \ud800' }),
  (item) => ({ ...item, result: { text: 'a NUL \u0000' } }),
  (item) => ({ ...item, result: 17 }),
  (item) => ({ ...item, creditsUsed: 'three' }),
  (item) => ({ ...item, startedAt: 'yesterday' }),
  () => null,
  () => 'a text where an item should be',
]
