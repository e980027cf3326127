import { createHash } from 'node:crypto'
import { drawCharts } from './charts.js'
import type { DashboardData } from './dashboard-data.js'
import { html, trusted } from './html.js'
import { toPage } from './page.js'
import { STYLESHEET } from './stylesheet.js'

/** The dashboard as one file that loads nothing: its policy lets in its own style and nothing else. */
export function toReportFile(data: DashboardData): string {
  const hash = createHash('sha256').update(STYLESHEET).digest('base64')
  const policy = `default-src 'none'; style-src 'sha256-${hash}'; img-src data:; base-uri 'none'; form-action 'none'`
  const head = html`<meta http-equiv="content-security-policy" content="${policy}"><link rel="icon" href="data:,"><style>${trusted(STYLESHEET)}</style>`
  return toPage(data, drawCharts(data), { head, controls: null })
}
