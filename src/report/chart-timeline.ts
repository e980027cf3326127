import type { Size } from './chart-canvas.js'
import { fill, frame, LINE } from './chart-parts.js'
import type { DashboardData } from './dashboard-data.js'
import { toDayLabel } from './format.js'

/** How runs end. */
export const RUN_STATUSES = [
  { status: 'complete', title: 'Complete', color: 'succeeded' },
  { status: 'partial', title: 'Partial', color: 'partly' },
  { status: 'failed', title: 'Failed', color: 'failed' },
  { status: 'aborted', title: 'Aborted', color: 'cancelled' },
  { status: 'running', title: 'Running', color: 'open' },
] as const

/** When runs began, one mark each. */
export function timeline(size: Size, runs: DashboardData['runs']) {
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
