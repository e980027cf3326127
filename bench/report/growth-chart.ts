import { LineChart } from 'echarts/charts'
import { GridComponent, LegendComponent, TitleComponent } from 'echarts/components'
import { type EChartsCoreOption, init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'
import type { Row } from '../run.js'
import { ARRIVED, FIRST, UNCHANGED } from '../workloads.js'
import { median, peakMb, type Read, walMb } from './figures.js'

use([LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer])

// The dashed line lies on the solid one before it in some panels.
const LINES = [
  { step: FIRST, name: 'first load', color: '#1d4ed8', symbol: 'circle', type: 'solid' },
  { step: UNCHANGED, name: 'unchanged, read in full', color: '#b45309', symbol: 'rect', type: 'dashed' },
  { step: ARRIVED, name: 'incremental, 0.1 % new', color: '#047857', symbol: 'triangle', type: 'solid' },
] as const

const PANELS: readonly { readonly title: string; readonly read: Read }[] = [
  { title: 'Time, seconds', read: ({ seconds }) => seconds },
  { title: 'Peak memory (RSS), MB', read: peakMb },
  { title: 'Requests', read: ({ requests }) => requests },
  { title: 'WAL, MB', read: walMb },
]

const SIZE = { width: 880, height: 640 }
const INK = '#1f2937'
const GRID = '#e5e7eb'

/** Draws how the cost of spidra-sync grows with the list, both axes logarithmic. Null with fewer than two sizes. */
export function toGrowthChart(rows: readonly Row[]): string | null {
  const own = rows.filter(({ kind, role, step }) => kind === 'load' && role === 'ours' && step === FIRST)
  const sizes = own.map(({ jobs }) => jobs).sort((one, other) => one - other)
  const [least = 0, most = 0] = [sizes[0], sizes.at(-1)]
  if (least === most) return null

  const series = PANELS.flatMap(({ read }, panel) =>
    LINES.map(({ step, name, color, symbol, type }) => ({
      ...{ type: 'line', name, xAxisIndex: panel, yAxisIndex: panel, symbol, symbolSize: 7 },
      itemStyle: { color },
      lineStyle: { color, type, width: 2 },
      data: sizes.flatMap((jobs) => {
        const row = rows.find(
          (one) => one.kind === 'load' && one.role === 'ours' && one.jobs === jobs && one.step === step,
        )
        const value = median(row, read)
        return value === null || value <= 0 ? [] : [[jobs, value]]
      }),
    })),
  )
  return render({
    backgroundColor: '#ffffff',
    animation: false,
    textStyle: { fontFamily: 'Helvetica, Arial, sans-serif', color: INK },
    title: PANELS.map(({ title }, panel) => ({
      ...{ text: title, left: placeOf(panel).left - 40, top: placeOf(panel).top - 30 },
      textStyle: { fontSize: 14, fontWeight: 'bold', color: INK },
    })),
    legend: {
      top: 10,
      itemGap: 28,
      lineStyle: { type: 'solid' },
      textStyle: { fontSize: 13, color: INK },
      data: LINES.map(({ name }) => name),
    },
    grid: PANELS.map((_, panel) => placeOf(panel)),
    xAxis: PANELS.map((_, gridIndex) => ({ ...axis(gridIndex), min: least, max: most, ...below(gridIndex) })),
    yAxis: PANELS.map((_, gridIndex) => axis(gridIndex)),
    series,
  })
}

/** Places the panels two by two. */
function placeOf(panel: number) {
  const [column, line] = [panel % 2, panel >> 1]
  return { left: 65 + column * 435, top: 85 + line * 280, width: 350, height: 190 }
}

function axis(gridIndex: number) {
  return {
    ...{ type: 'log', gridIndex, splitLine: { show: true, lineStyle: { color: GRID } } },
    axisLine: { show: true, lineStyle: { color: INK } },
    axisLabel: { fontSize: 12, color: INK, hideOverlap: true, formatter: toShort },
  }
}

function below(panel: number) {
  return {
    name: panel > 1 ? 'jobs of the list' : '',
    nameLocation: 'middle',
    nameGap: 28,
    nameTextStyle: { color: INK },
  }
}

/** 0.001, 0.1, 10, 1k, 1M. */
function toShort(value: number): string {
  if (value >= 1e6) return `${value / 1e6}M`
  return value >= 1e3 ? `${value / 1e3}k` : String(Number(value.toPrecision(2)))
}

function render(option: EChartsCoreOption): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, ...SIZE })
  try {
    chart.setOption(option)
    return chart.renderToSVGString()
  } finally {
    // An open chart keeps its timers, and they keep the process alive.
    chart.dispose()
  }
}
