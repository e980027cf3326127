import { BarChart, LineChart, ScatterChart } from 'echarts/charts'
import { GridComponent, MarkLineComponent } from 'echarts/components'
import { type EChartsCoreOption, init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'
import type { DashboardData } from './dashboard-data.js'
import { toDayLabel, toDuration, toShortCount, toShortPercent, toTimeLabels } from './format.js'
import { type Markup, trusted } from './html.js'

use([BarChart, LineChart, ScatterChart, GridComponent, MarkLineComponent, SVGRenderer])

/** The outcomes of jobs: column of the daily numbers, title, and the colour's name in the stylesheet. */
export const OUTCOMES = [
  { column: 'succeeded_jobs', title: 'Succeeded', color: 'succeeded' },
  { column: 'partly_failed_jobs', title: 'Partly failed', color: 'partly' },
  { column: 'failed_jobs', title: 'Failed', color: 'failed' },
  { column: 'cancelled_jobs', title: 'Cancelled', color: 'cancelled' },
  { column: 'open_jobs', title: 'Open', color: 'open' },
] as const

/** The statuses of runs: status, title, and the colour's name in the stylesheet. */
export const RUN_STATUSES = [
  { status: 'complete', title: 'Complete', color: 'succeeded' },
  { status: 'partial', title: 'Partial', color: 'partly' },
  { status: 'failed', title: 'Failed', color: 'failed' },
  { status: 'aborted', title: 'Aborted', color: 'cancelled' },
  { status: 'running', title: 'Running', color: 'open' },
] as const

/** The charts of an account as SVG; null where there is nothing to draw. */
export interface Charts {
  readonly jobs: Markup | null
  readonly success: Markup | null
  readonly durations: Markup | null
  readonly requests: Markup | null
  readonly credits: Markup | null
  readonly timeline: Markup | null
}

/** Draws the charts. Import this file lazily: loading the chart library takes a third of a second. */
export function drawCharts(data: DashboardData): Charts {
  const { days, durations, runs } = data
  const hasRates = days.some(({ success_rate: rate }) => rate !== null)
  const hasDurations = durations.some(({ p95_seconds: seconds }) => seconds !== null)
  return {
    jobs: days.some(({ jobs }) => jobs > 0) ? drawJobs(data) : null,
    success: hasRates ? drawSuccess(data) : null,
    durations: hasDurations ? drawDurations(data) : null,
    requests: runs.length > 0 ? drawRequests(data) : null,
    credits: data.results?.credits.some(({ credits }) => credits > 0) ? drawCredits(data) : null,
    timeline: runs.length > 0 ? drawTimeline(data) : null,
  }
}

function drawJobs({ days }: DashboardData): Markup {
  const labels = days.map(({ day }) => toDayLabel(day))
  return draw('Jobs a day, stacked by outcome', [...labels.keys()], (size) => ({
    ...frame(size, labels, { formatter: toShortCount, minInterval: 1 }),
    series: OUTCOMES.map(({ column, color }) => ({
      ...{ type: 'bar', stack: 'jobs', barCategoryGap: '22%', barMaxWidth: 40, itemStyle: fill(color) },
      // The library draws a line for a bar of height 0.
      data: days.map((day) => day[column] || null),
    })),
  }))
}

function drawSuccess({ days }: DashboardData): Markup {
  const labels = days.map(({ day }) => toDayLabel(day))
  const rates = days.map((day) => day.success_rate)
  return draw('Share of finished URLs that succeeded, a day', [...labels.keys()], (size) => ({
    ...frame(size, labels, { formatter: toShortPercent, max: 1, ...lowerEnd(rates) }),
    series: [line('succeeded', rates)],
  }))
}

function drawDurations({ days, durations }: DashboardData): Markup {
  const labels = days.map(({ day }) => toDayLabel(day))
  const byDay = new Map(durations.map((row) => [row.day, row]))
  const p95 = days.map(({ day }) => byDay.get(day)?.p95_seconds ?? null)
  const p50 = days.map(({ day }) => byDay.get(day)?.p50_seconds ?? null)
  return draw('Duration of jobs a day: median and 95th percentile', [...labels.keys()], (size) => ({
    ...frame(size, labels, { formatter: toDuration, ...upperEnd(p95, TIME_STEPS) }),
    series: [line('p95', p95), line('p50', p50)],
  }))
}

function drawRequests({ runs, budget, freshness }: DashboardData): Markup {
  const inOrder = runs.toReversed()
  const labels = toTimeLabels(
    inOrder.map((run) => run.started_at),
    freshness.read_at,
  )
  return draw('Requests of each run, and the requests that the API allows in a window', [...labels.keys()], (size) => ({
    ...frame(size, labels, { formatter: toShortCount, ...upperEnd(requestRange(runs, budget), COUNT_STEPS) }),
    series: [
      {
        ...bar('open'),
        data: inOrder.map(({ requests, retries }) => Math.max(0, requests - retries)),
        markLine: limitLine(budget),
      },
      { ...bar('partly'), data: inOrder.map(({ retries }) => retries || null) },
    ],
  }))
}

function drawCredits({ days, results }: DashboardData): Markup {
  const labels = days.map(({ day }) => toDayLabel(day))
  const byDay = new Map(results?.credits.map(({ day, credits }) => [day, credits]))
  return draw('Credits a day', [...labels.keys()], (size) => ({
    ...frame(size, labels, { formatter: toShortCount }),
    series: [
      {
        ...{ type: 'bar', barCategoryGap: '22%', barMaxWidth: 40, itemStyle: fill('p95') },
        data: days.map(({ day }) => byDay.get(day) || null),
      },
    ],
  }))
}

function drawTimeline({ runs, freshness }: DashboardData): Markup {
  const starts = runs.map((run) => run.started_at.getTime()).toReversed()
  return draw(
    'Start of each run, coloured by status',
    starts,
    (size) => timeline(size, runs, freshness.read_at),
    FULL_PAGE,
  )
}

function bar(color: string) {
  return { type: 'bar', stack: 'requests', barCategoryGap: '15%', barMaxWidth: 14, itemStyle: fill(color) }
}

function line(color: string, data: readonly (number | null)[]) {
  const known = data.filter((value) => value !== null).length
  return {
    ...{
      type: 'line',
      data,
      symbol: 'circle',
      // A single point has no line, and is all that there is to see.
      symbolSize: known === 1 ? 9 : 4,
      showSymbol: known <= 31,
      itemStyle: fill(color),
    },
    lineStyle: { ...fill(color), width: 2 },
  }
}

/** The line of the rate limit, which is visible only on an axis that reaches it. */
function limitLine(budget: DashboardData['budget']) {
  if (budget?.rate_limit == null) return {}
  return {
    ...{ silent: true, symbol: 'none', data: [{ yAxis: budget.rate_limit }] },
    lineStyle: { color: 'var(--failed)', type: 'dashed' },
    label: { position: 'insideEndTop', formatter: 'limit of a window', color: 'var(--muted)', fontSize: 11 },
  }
}

/**
 * What the axis of requests reaches. It reaches the limit only if a run used more than a quarter of it: an axis up to 300 would
 * hide runs of one request.
 */
function requestRange(runs: DashboardData['runs'], budget: DashboardData['budget']): number[] {
  const most = Math.max(1, ...runs.map(({ requests }) => requests))
  const limit = budget?.rate_limit ?? 0
  return limit > 0 && most * 4 > limit ? [most, limit] : [most]
}

/** Distances of the lines of an axis of seconds, so that they are at whole seconds, minutes, hours or days. */
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400]

/** Distances of the lines of an axis of numbers. */
const COUNT_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000]

/** An axis from 0 that ends at a line, with at most five lines above 0. */
function upperEnd(values: readonly (number | null)[], steps: readonly number[]) {
  const most = Math.max(0, ...values.map((value) => value ?? 0))
  const largest = steps.at(-1) ?? 1
  const interval = steps.find((step) => most / step <= 5) ?? Math.ceil(most / 5 / largest) * largest
  return { min: 0, interval, max: Math.max(1, Math.ceil(most / interval)) * interval }
}

/** Ranges of the axis of rates, from the top. An axis from 0 would hide changes, because rates are high. */
const RATE_RANGES = [
  { min: 0.9, interval: 0.02 },
  { min: 0.8, interval: 0.05 },
  { min: 0.5, interval: 0.1 },
]

/** The smallest range in which every rate is above the lowest line. */
function lowerEnd(rates: readonly (number | null)[]) {
  const least = Math.min(1, ...rates.filter((rate) => rate !== null))
  return RATE_RANGES.find(({ min }) => least > min) ?? { min: 0, interval: 0.2 }
}

/** The time that the axis of runs shows at least. */
const SHORTEST_MS = 10 * 60_000

/** The start of each run, as one mark. */
function timeline(size: Size, runs: DashboardData['runs'], now: Date) {
  const { grid, textStyle } = frame(size, [], {})
  const modes = ['incremental', 'full']
  const first = Math.min(...runs.map((run) => run.started_at.getTime()))
  return {
    grid: { ...grid, left: 10 },
    textStyle,
    xAxis: {
      type: 'time',
      // Without an end the axis would go on into the future.
      min: Math.min(first, now.getTime() - SHORTEST_MS),
      max: now.getTime(),
      splitNumber: Math.round(size.width / 110),
      axisLabel: {
        color: 'var(--muted)',
        fontSize: 11,
        hideOverlap: true,
        showMinLabel: false,
        showMaxLabel: false,
        formatter: toTick,
      },
      axisLine: LINE,
      axisTick: { show: false },
    },
    yAxis: {
      type: 'category',
      data: modes,
      axisLabel: { color: 'var(--muted)', fontSize: 11 },
      axisLine: { show: false },
      axisTick: { show: false },
      splitLine: { show: true, lineStyle: { color: 'var(--line)' } },
    },
    series: RUN_STATUSES.map(({ status, color }) => ({
      ...{
        type: 'scatter',
        symbol: 'roundRect',
        symbolSize: [size.name === 'narrow' ? 2 : 4, 26],
        itemStyle: { ...fill(color), opacity: 1 },
      },
      data: runs.filter((run) => run.status === status).map((run) => [run.started_at.getTime(), run.mode]),
    })),
  }
}

function toTick(at: number): string {
  const [day = '', time = ''] = new Date(at).toISOString().split('T')
  if (time.startsWith('00:00:00')) return toDayLabel(day)
  return time.slice(6, 8) === '00' ? time.slice(0, 5) : time.slice(0, 8)
}

/** The axis line under a chart. */
const LINE = { lineStyle: { color: 'var(--axis)' } }

/** The axes of a chart over labels; `axis` are options for the axis of numbers. */
function frame({ name }: Size, labels: readonly string[], axis: object) {
  const shown = name === 'wide' ? 8 : 4
  const interval = Math.max(0, Math.ceil(labels.length / shown) - 1)
  return {
    grid: { left: 4, right: 10, top: 14, bottom: 4, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    textStyle: { fontFamily: 'system-ui, sans-serif', fontSize: 11 },
    xAxis: {
      type: 'category',
      data: labels,
      axisTick: { show: false },
      axisLine: LINE,
      axisLabel: { color: 'var(--muted)', interval, fontSize: 11, hideOverlap: true },
    },
    yAxis: {
      type: 'value',
      splitNumber: 4,
      axisLabel: { color: 'var(--muted)', fontSize: 11, ...axis },
      splitLine: { lineStyle: { color: 'var(--line)' } },
      ...axis,
    },
  }
}

/** A fill by the colour's name in the stylesheet. */
function fill(color: string) {
  return { color: `var(--${color})` }
}

/** Sizes of a chart of half the page's width: for wide screens and for phones, because its text would shrink with it. */
const HALF_PAGE: readonly Size[] = [
  { name: 'wide', width: 560, height: 220 },
  { name: 'narrow', width: 320, height: 200 },
]

/** Sizes of a chart of the page's width: for wide screens, tablets and phones. */
const FULL_PAGE: readonly Size[] = [
  { name: 'wide', width: 1160, height: 110 },
  { name: 'medium', width: 740, height: 110 },
  { name: 'narrow', width: 320, height: 120 },
]

interface Size {
  readonly name: 'wide' | 'medium' | 'narrow'
  readonly width: number
  readonly height: number
}

/**
 * Draws a chart as SVG without script or style, as the content security policy demands. Colours are CSS variables.
 *
 * @param points values of the horizontal axis, oldest first. Their positions are kept as `data-x`, newest first like the rows
 *   of the chart's table, so that a script can show the row at the pointer.
 */
function draw(
  label: string,
  points: readonly number[],
  optionFor: (size: Size) => EChartsCoreOption,
  sizes = HALF_PAGE,
): Markup {
  return trusted(
    sizes
      .map((size) => {
        const chart = init(null, null, { renderer: 'svg', ssr: true, width: size.width, height: size.height })
        try {
          chart.setOption({ animation: false, ...optionFor(size) })
          const positions = points.map((point) => Math.round(Number(chart.convertToPixel({ xAxisIndex: 0 }, point))))
          return toInline(chart.renderToSVGString(), size.name, label, positions.reverse())
        } finally {
          // An open chart keeps its timers, and they keep the process alive.
          chart.dispose()
        }
      })
      .join(''),
  )
}

/** Removes the library's styles, classes and ids. The library escapes attribute values itself. */
function toInline(svg: string, size: string, label: string, positions: readonly number[]): string {
  return svg
    .replace(/<style[\s\S]*?<\/style>/g, '')
    .replace(/ (?:style|class|ecmeta_\w+|xmlns:xlink|baseProfile|pointer-events)="[^"]*"/g, '')
    .replace(
      /<svg width="\d+" height="\d+"/,
      `<svg class="chart ${size}" role="img" aria-label="${label}" data-x="${positions.join(' ')}"`,
    )
}
