import type { TestDatabase } from './test-database.js'

/** A row of `daily_batch_jobs` as JSON: numbers as numbers, the day as text. */
export interface DailyRow {
  readonly day: string
  readonly account: string
  readonly scraping_channel: string | null
  readonly output_format: string | null
  readonly jobs: number
  readonly succeeded_jobs: number
  readonly partly_failed_jobs: number
  readonly failed_jobs: number
  readonly cancelled_jobs: number
  readonly open_jobs: number
  readonly urls: number
  readonly completed_urls: number
  readonly failed_urls: number
  readonly success_rate: number | null
  readonly p50_duration_seconds: number | null
  readonly p95_duration_seconds: number | null
  readonly max_duration_seconds: number | null
}

/** A live job. Times are microseconds since 1970, as text. */
interface RawJob {
  readonly account: string
  readonly status: string
  readonly total_urls: number
  readonly completed_count: number
  readonly failed_count: number
  readonly output_format: string | null
  readonly scraping_channel: string | null
  readonly created_at: string
  readonly finished_at: string | null
}

const DAY_MICROS = 86_400_000_000n
/** The longest gap that is filled, in days. */
const MAX_GAP_DAYS = 3_653

/** Reads the view and computes what it should contain, from one snapshot of the database. */
export async function compareDays({ sql }: Pick<TestDatabase, 'sql'>) {
  const [found] = await sql<{ view: DailyRow[] | null; raw: RawJob[] | null; today: string }>(`
    SELECT (now() AT TIME ZONE 'UTC')::date::text AS today,
      (SELECT json_agg(v) FROM spidra_reporting.daily_batch_jobs v) AS view,
      (SELECT json_agg(r) FROM (
        SELECT b.account, b.status, b.total_urls, b.completed_count, b.failed_count, b.output_format,
          b.scraping_channel, (extract(epoch FROM b.created_at) * 1000000)::bigint::text AS created_at,
          (extract(epoch FROM b.finished_at) * 1000000)::bigint::text AS finished_at
        FROM spidra.batch_jobs b WHERE b.removed_at IS NULL) r) AS raw`)
  if (found === undefined) throw new Error('no answer')
  const { view, raw, today } = found
  return { view: sorted(view ?? []), expected: sorted(recompute(raw ?? [], today)), today }
}

/** Computes what the view should contain, from the jobs only. */
export function recompute(jobs: readonly RawJob[], today: string): DailyRow[] {
  return [...groupBy(jobs, (job) => job.account)].flatMap(([account, ofAccount]) => {
    const byDay = groupBy(ofAccount, (job) => dayOf(BigInt(job.created_at)))
    const days = new Set([...byDay.keys(), ...gapsUntil(today, [...byDay.keys()].sort()[0] ?? today)])
    return [...days].flatMap((day) => {
      const ofDay = byDay.get(day)
      if (ofDay === undefined) return [{ day, account, scraping_channel: null, output_format: null, ...sumUp([]) }]
      return [...groupBy(ofDay, kindOf).values()].flatMap((ofKind) =>
        ofKind.slice(0, 1).map((kind) => ({ day, ...pickKind(kind), ...sumUp(ofKind) })),
      )
    })
  })
}

function sumUp(jobs: readonly RawJob[]) {
  const outcomes = jobs.map(outcomeOf)
  const count = (outcome: string) => outcomes.filter((one) => one === outcome).length
  const sum = (column: 'total_urls' | 'completed_count' | 'failed_count') =>
    jobs.reduce((total, job) => total + job[column], 0)
  const durations = jobs
    .flatMap(({ created_at, finished_at }) =>
      finished_at === null ? [] : Number(BigInt(finished_at) - BigInt(created_at)) / 1e6,
    )
    .sort((one, other) => one - other)
  const finished = sum('completed_count') + sum('failed_count')
  return {
    jobs: jobs.length,
    succeeded_jobs: count('succeeded'),
    partly_failed_jobs: count('partly_failed'),
    failed_jobs: count('failed'),
    cancelled_jobs: count('cancelled'),
    open_jobs: count('open'),
    urls: sum('total_urls'),
    completed_urls: sum('completed_count'),
    failed_urls: sum('failed_count'),
    success_rate: finished === 0 ? null : sum('completed_count') / finished,
    p50_duration_seconds: percentile(durations, 0.5),
    p95_duration_seconds: percentile(durations, 0.95),
    max_duration_seconds: durations.at(-1) ?? null,
  }
}

function outcomeOf({ status, completed_count, failed_count }: RawJob): string {
  switch (status) {
    case 'cancelled':
    case 'failed':
      return status
    case 'completed':
      if (failed_count === 0) return 'succeeded'
      return completed_count > 0 ? 'partly_failed' : 'failed'
    default:
      return 'open'
  }
}

/** Linear interpolation between the two nearest, as SQL's percentile_cont. */
export function percentile(ascending: readonly number[], share: number): number | null {
  const place = share * (ascending.length - 1)
  const below = ascending[Math.floor(place)]
  const above = ascending[Math.ceil(place)]
  if (below === undefined || above === undefined) return null
  return below + (above - below) * (place - Math.floor(place))
}

function dayOf(micros: bigint): string {
  const day = micros / DAY_MICROS - (micros % DAY_MICROS < 0n ? 1n : 0n)
  return toDay(Number(day))
}

function toDay(number: number): string {
  return new Date(number * 86_400_000).toISOString().slice(0, 10)
}

function gapsUntil(today: string, first: string): string[] {
  const last = Date.parse(today) / 86_400_000
  const begin = Math.max(last - MAX_GAP_DAYS, Date.parse(first) / 86_400_000)
  return Array.from({ length: Math.max(0, last - begin + 1) }, (_, i) => toDay(begin + i))
}

function pickKind({ account, scraping_channel, output_format }: RawJob) {
  return { account, scraping_channel, output_format }
}

function kindOf({ scraping_channel, output_format }: Pick<RawJob, 'scraping_channel' | 'output_format'>): string {
  return JSON.stringify([scraping_channel, output_format])
}

function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>()
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item])
  return groups
}

function sorted(rows: readonly DailyRow[]): DailyRow[] {
  const key = (row: DailyRow) => JSON.stringify([row.account, row.day, row.scraping_channel, row.output_format])
  return [...rows].sort((one, other) => (key(one) < key(other) ? -1 : 1))
}
