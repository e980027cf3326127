import { draw, FULL_PAGE } from './chart-canvas.js'
import { fill, frame } from './chart-parts.js'
import { timeline } from './chart-timeline.js'
import type { DashboardData } from './dashboard-data.js'
import { toDayLabel, toDuration, toShortCount } from './format.js'
import type { Markup } from './html.js'

/** How jobs end: column of the days, words, and the colour's name in the stylesheet. */
export const OUTCOMES = [
  { column: 'succeeded_jobs', title: 'Succeeded', color: 'succeeded' },
  { column: 'partly_failed_jobs', title: 'Partly failed', color: 'partly' },
  { column: 'failed_jobs', title: 'Failed', color: 'failed' },
  { column: 'cancelled_jobs', title: 'Cancelled', color: 'cancelled' },
  { column: 'open_jobs', title: 'Open', color: 'open' },
] as const

export interface Charts {
  readonly jobs: Markup
  readonly success: Markup
  readonly durations: Markup
  readonly requests: Markup
  readonly timeline: Markup
}

/** Draws the charts. Import this file lazily: the library behind it takes a third of a second. */
export function drawCharts({ days, durations, runs, budget }: DashboardData): Charts {
  const labels = days.map(({ day }) => toDayLabel(day))
  const byDay = new Map(durations.map((row) => [row.day, row]))
  const inOrder = runs.toReversed()
  return {
    jobs: draw('Jobs a day, stacked by outcome', (size) => ({
      ...frame(size, labels, { formatter: toShortCount, minInterval: 1 }),
      series: OUTCOMES.map(({ column, color }) => ({
        ...{ type: 'bar', stack: 'jobs', barCategoryGap: '22%', barMaxWidth: 40, itemStyle: fill(color) },
        // A bar of no height would be drawn all the same.
        data: days.map((day) => day[column] || null),
      })),
    })),
    success: draw('Share of finished URLs that succeeded, a day', (size) => ({
      ...frame(size, labels, { formatter: percent, max: 1, min: lowerEnd(days.map((day) => day.success_rate)) }),
      series: [
        line(
          'succeeded',
          days.map((day) => day.success_rate),
        ),
      ],
    })),
    durations: draw('Duration of jobs a day: median and 95th percentile', (size) => ({
      ...frame(size, labels, { formatter: toDuration, min: 0, interval: stepOf(durations) }),
      series: [
        line(
          'p95',
          days.map(({ day }) => byDay.get(day)?.p95_seconds ?? null),
        ),
        line(
          'p50',
          days.map(({ day }) => byDay.get(day)?.p50_seconds ?? null),
        ),
      ],
    })),
    requests: draw('Requests of each run, and the requests that the API allows in a window', (size) => ({
      ...frame(
        size,
        inOrder.map(({ started_at }) => toRunLabel(started_at)),
        { formatter: toShortCount, minInterval: 1, min: 0, max: budgetTop(runs, budget) },
      ),
      series: [
        {
          ...bar('open'),
          data: inOrder.map(({ requests, retries }) => Math.max(0, requests - retries)),
          markLine: limitLine(budget),
        },
        { ...bar('partly'), data: inOrder.map(({ retries }) => retries || null) },
      ],
    })),
    timeline: draw('Start of each run, coloured by status', (size) => timeline(size, runs), FULL_PAGE),
  }
}

function bar(color: string) {
  return { type: 'bar', stack: 'requests', barCategoryGap: '15%', barMaxWidth: 14, itemStyle: fill(color) }
}

function line(color: string, data: readonly (number | null)[]) {
  return {
    ...{ type: 'line', data, symbol: 'circle', symbolSize: 4, showSymbol: data.length <= 31, itemStyle: fill(color) },
    lineStyle: { ...fill(color), width: 2 },
  }
}

/** Only where it would be seen: an axis up to 300 hides runs of one request. */
function limitLine(budget: DashboardData['budget']) {
  if (budget?.rate_limit == null) return {}
  return {
    ...{ silent: true, symbol: 'none', data: [{ yAxis: budget.rate_limit }] },
    lineStyle: { color: 'var(--failed)', type: 'dashed' },
    label: { position: 'insideEndTop', formatter: 'limit of a window', color: 'var(--muted)', fontSize: 11 },
  }
}

function budgetTop(runs: DashboardData['runs'], budget: DashboardData['budget']): number | undefined {
  const most = Math.max(1, ...runs.map(({ requests }) => requests))
  const limit = budget?.rate_limit ?? 0
  return limit > 0 && most * 4 > limit ? Math.ceil(Math.max(most, limit) * 1.1) : undefined
}

/** Seconds between the lines of the axis, so that they are whole minutes or hours. */
function stepOf(durations: DashboardData['durations']): number {
  const most = Math.max(1, ...durations.map(({ p95_seconds }) => p95_seconds ?? 0))
  const steps = [1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400]
  return steps.find((step) => most / step <= 5) ?? Math.ceil(most / 5 / 86_400) * 86_400
}

/** Rates lie high; an axis from 0 would hide every change. Never a narrower range than ten percent. */
function lowerEnd(rates: readonly (number | null)[]): number {
  const least = Math.min(1, ...rates.filter((rate) => rate !== null))
  return Math.max(0, Math.min(0.9, Math.floor(least * 10 - 0.2) / 10))
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

function toRunLabel(instant: Date): string {
  return instant.toISOString().slice(11, 16)
}
