import type { Size } from './chart-canvas.js'

/** The line under a chart. */
export const LINE = { lineStyle: { color: 'var(--axis)' } }

/** Axes of a chart over labels; `axis` is what its numbers need. */
export function frame({ name }: Size, labels: readonly string[], axis: object) {
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

/** A colour by its name in the stylesheet. */
export function fill(color: string) {
  return { color: `var(--${color})` }
}
