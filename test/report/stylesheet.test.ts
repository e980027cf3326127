import { describe, expect, test } from 'vitest'
import { STYLESHEET } from '../../src/report/stylesheet.js'

const [light = '', dark = ''] = STYLESHEET.split('@media (prefers-color-scheme: dark)')

function variables(css: string): Map<string, string> {
  const block = css.slice(0, css.indexOf('* { box-sizing') + 1 || undefined)
  return new Map(
    Array.from(block.matchAll(/--([\w-]+): (#[0-9a-f]{6})/g), ([, name = '', color = '']) => [name, color]),
  )
}

/** Relative luminance and contrast by WCAG 2.2 (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio). */
function contrast(a: string, b: string): number {
  const luminance = (color: string) => {
    const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
      const part = Number.parseInt(color.slice(at, at + 2), 16) / 255
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y)
  return (high + 0.05) / (low + 0.05)
}

describe.each([
  ['light', light],
  ['dark', dark],
])('in the %s scheme', (_name, css) => {
  const colors = variables(css)
  const on = (front: string, ground: string) => contrast(colors.get(front) ?? '#', colors.get(ground) ?? '#')

  test('all text has a contrast of 4.5 : 1', () => {
    for (const ground of ['ground', 'card'])
      for (const front of ['text', 'muted', 'link'])
        expect([front, ground, on(front, ground) >= 4.5]).toEqual([front, ground, true])
    for (const tone of ['good', 'warning', 'bad']) {
      for (const front of [`${tone}-text`, 'text'])
        expect([front, tone, on(front, `${tone}-ground`) >= 4.5]).toEqual([front, tone, true])
      expect([tone, on(`${tone}-text`, 'card') >= 4.5]).toEqual([tone, true])
    }
  })

  test('all marks of the charts have a contrast of 3 : 1', () => {
    for (const mark of ['succeeded', 'partly', 'failed', 'cancelled', 'open', 'p50', 'p95'])
      expect([mark, on(mark, 'card') >= 3]).toEqual([mark, true])
  })
})
