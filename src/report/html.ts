/** Markup that may stand in a page as it is. Only `html` and `trusted` make it. */
export class Markup {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

type Part = Markup | string | number | null | readonly Part[]

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** What HTML cannot hold, what is not shown, and what turns the reading direction of all that follows. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu

/**
 * Markup of a template. Every value in it is escaped, in text as in quoted attributes; null is nothing, lists are joined.
 *
 * @example html`<td title="${job.status}">${job.uuid}</td>`
 */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(strings.map((string, i) => string + (i < parts.length ? toText(parts[i] ?? null) : '')).join(''))
}

/** Takes text as markup. Only for what no user, job or server has written. */
export function trusted(text: string): Markup {
  return new Markup(text)
}

function toText(part: Part): string {
  if (part === null) return ''
  if (part instanceof Markup) return part.text
  if (typeof part === 'number' || typeof part === 'string') return escapeHtml(String(part))
  return part.map(toText).join('')
}

function escapeHtml(text: string): string {
  return text
    .replace(UNPRINTABLE, (character) => (character === '\n' ? character : '\ufffd'))
    .replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
}
