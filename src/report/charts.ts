import { BarChart, LineChart, ScatterChart } from 'echarts/charts'
import { GridComponent, MarkLineComponent } from 'echarts/components'
import { type EChartsCoreOption, init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'
import type { DashboardData } from './dashboard-data.js'
import { toDayLabel, toDuration, toShortCount, toShortPercent } from './format.js'
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

/** The charts of the dashboard as SVG. */
export interface Charts {
  readonly jobs: Markup
  readonly success: Markup
  readonly durations: Markup
  readonly requests: Markup
  readonly timeline: Markup
}

/** Draws the charts. Import this file lazily: loading the chart library takes a third of a second. */
export function drawCharts({ days, durations, runs, budget }: DashboardData): Charts {
  const labels = days.map(({ day }) => toDayLabel(day))
  const byDay = new Map(durations.map((row) => [row.day, row]))
  const inOrder = runs.toReversed()
  return {
    jobs: draw('Jobs a day, stacked by outcome', (size) => ({
      ...frame(size, labels, { formatter: toShortCount, minInterval: 1 }),
      series: OUTCOMES.map(({ column, color }) => ({
        ...{ type: 'bar', stack: 'jobs', barCategoryGap: '22%', barMaxWidth: 40, itemStyle: fill(color) },
        // The library draws a line for a bar of height 0.
        data: days.map((day) => day[column] || null),
      })),
    })),
    success: draw('Share of finished URLs that succeeded, a day', (size) => ({
      ...frame(size, labels, { formatter: toShortPercent, max: 1, min: lowerEnd(days.map((day) => day.success_rate)) }),
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
 * The upper end of the axis of requests. The axis reaches the limit only if a run used more than a quarter of it: an axis
 * up to 300 would hide runs of one request.
 */
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

/** The lower end of the axis of rates. An axis from 0 would hide changes, because rates are high. The range is at least 10 %. */
function lowerEnd(rates: readonly (number | null)[]): number {
  const least = Math.min(1, ...rates.filter((rate) => rate !== null))
  return Math.max(0, Math.min(0.9, Math.floor(least * 10 - 0.2) / 10))
}

function toRunLabel(instant: Date): string {
  return instant.toISOString().slice(11, 16)
}

/** The start of each run, as one mark. */
function timeline(size: Size, runs: DashboardData['runs']) {
  const { grid, textStyle } = frame(size, [], {})
  const modes = ['incremental', 'full']
  return {
    grid: { ...grid, left: 10 },
    textStyle,
    xAxis: {
      type: 'time',
      splitNumber: size.name === 'wide' ? 10 : 3,
      axisLabel: { color: 'var(--muted)', fontSize: 11, hideOverlap: true, formatter: toTick },
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
        symbolSize: [size.name === 'wide' ? 4 : 2, 26],
        itemStyle: { ...fill(color), opacity: 1 },
      },
      data: runs.filter((run) => run.status === status).map((run) => [run.started_at.getTime(), run.mode]),
    })),
  }
}

function toTick(at: number): string {
  const [day = '', time = ''] = new Date(at).toISOString().split('T')
  return time.startsWith('00:00') ? toDayLabel(day) : time.slice(0, 5)
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
      axisLabel: { color: 'var(--muted)', interval, fontSize: 11 },
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

/** Sizes of a chart of the page's width. */
const FULL_PAGE: readonly Size[] = [
  { name: 'wide', width: 1160, height: 110 },
  { name: 'narrow', width: 320, height: 120 },
]

interface Size {
  readonly name: 'wide' | 'narrow'
  readonly width: number
  readonly height: number
}

/** Draws a chart as SVG without script or style, as the content security policy demands. Colours are CSS variables. */
function draw(label: string, optionFor: (size: Size) => EChartsCoreOption, sizes = HALF_PAGE): Markup {
  return trusted(
    sizes
      .map((size) => {
        const chart = init(null, null, { renderer: 'svg', ssr: true, width: size.width, height: size.height })
        try {
          chart.setOption({ animation: false, ...optionFor(size) })
          return toInline(chart.renderToSVGString(), size.name, label)
        } finally {
          // An open chart keeps its timers, and they keep the process alive.
          chart.dispose()
        }
      })
      .join(''),
  )
}

/** Removes the library's styles, classes and ids. The library escapes attribute values itself. */
function toInline(svg: string, size: string, label: string): string {
  return svg
    .replace(/<style[\s\S]*?<\/style>/g, '')
    .replace(/ (?:style|class|ecmeta_\w+|xmlns:xlink|baseProfile|pointer-events)="[^"]*"/g, '')
    .replace(/<svg width="\d+" height="\d+"/, `<svg class="chart ${size}" role="img" aria-label="${label}"`)
}
