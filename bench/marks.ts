import type { Quoted } from './report/quoted.js'

/**
 * A figure in a page, between two comments that a reader does not see: `<!-- figure NAME -->0.4 s<!-- /figure -->` in a
 * sentence, or a table on lines of its own between them.
 */
const MARK = /(<!-- figure ([\w-]+) -->)([\s\S]*?)(<!-- \/figure -->)/g

/** The names of the figures that a page quotes, in its order. */
export function namesIn(page: string): string[] {
  return [...page.matchAll(MARK)].map(([, , name = '']) => name)
}

/** The page with the given figures between its marks. A figure that is not given stays as it is. */
export function withFigures(page: string, figures: Quoted): string {
  return page.replace(MARK, (whole, open: string, name: string, text: string, close: string) => {
    const figure = figures[name]
    if (figure === undefined) return whole
    if (!text.includes('\n') && !figure.includes('\n')) return `${open}${figure}${close}`
    return figure === '' ? `${open}\n${close}` : `${open}\n\n${figure}\n\n${close}`
  })
}

/** Lists what is wrong with the figures of a page, one line each. */
export function faultsIn(name: string, page: string, figures: Quoted): string[] {
  const unknown = namesIn(page).filter((figure) => figures[figure] === undefined)
  const opened = page.split('<!-- figure ').length - 1
  return [
    ...unknown.map((figure) => `${name}: the benchmark has not measured the figure "${figure}"`),
    ...(opened === namesIn(page).length ? [] : [`${name}: a mark of a figure is not closed`]),
    ...(withFigures(page, figures) === page ? [] : [`${name}: a figure differs from bench/figures.json`]),
  ]
}
