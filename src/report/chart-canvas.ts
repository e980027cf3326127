import { BarChart, LineChart, ScatterChart } from 'echarts/charts'
import { GridComponent, MarkLineComponent } from 'echarts/components'
import { type EChartsCoreOption, init, use } from 'echarts/core'
import { SVGRenderer } from 'echarts/renderers'
import { type Markup, trusted } from './html.js'

use([BarChart, LineChart, ScatterChart, GridComponent, MarkLineComponent, SVGRenderer])

/** Drawn twice, since text in a picture shrinks with it: for wide screens, and for phones. */
const HALF_PAGE: readonly Size[] = [
  { name: 'wide', width: 560, height: 220 },
  { name: 'narrow', width: 320, height: 200 },
]

/** Of a chart as wide as the page. */
export const FULL_PAGE: readonly Size[] = [
  { name: 'wide', width: 1160, height: 110 },
  { name: 'narrow', width: 320, height: 120 },
]

export interface Size {
  readonly name: 'wide' | 'narrow'
  readonly width: number
  readonly height: number
}

/** Draws a chart as SVG without script or style, so that the strictest policy lets it pass. Colours are CSS variables. */
export function draw(label: string, optionFor: (size: Size) => EChartsCoreOption, sizes = HALF_PAGE): Markup {
  return trusted(
    sizes
      .map((size) => {
        const chart = init(null, null, { renderer: 'svg', ssr: true, width: size.width, height: size.height })
        try {
          chart.setOption({ animation: false, ...optionFor(size) })
          return toInline(chart.renderToSVGString(), size.name, label)
        } finally {
          // What is left open keeps its timers, and with them the process.
          chart.dispose()
        }
      })
      .join(''),
  )
}

/** Takes out styles, classes and ids of the library; the stylesheet gives the font. Attributes it escapes itself. */
function toInline(svg: string, size: string, label: string): string {
  return svg
    .replace(/<style[\s\S]*?<\/style>/g, '')
    .replace(/ (?:style|class|ecmeta_\w+|xmlns:xlink|baseProfile|pointer-events)="[^"]*"/g, '')
    .replace(/<svg width="\d+" height="\d+"/, `<svg class="chart ${size}" role="img" aria-label="${label}"`)
}
