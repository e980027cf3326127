/** Markup that is put into a page without escaping. Only `html` and `trusted` create it. */
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

/** Characters that HTML cannot contain, that are invisible, or that change the reading direction. */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu

/**
 * Creates markup from a template. Escapes every value, for text and for quoted attributes; null is empty, lists are joined.
 *
 * @example html`<td title="${job.status}">${job.uuid}</td>`
 */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return new Markup(strings.map((string, i) => string + (i < parts.length ? toText(parts[i] ?? null) : '')).join(''))
}

/** Creates markup from text without escaping. Only for text that comes from no user, job or server. */
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

/** Composes a complete page around its body. */
export function toDocument(head: Markup, title: string, body: Markup): string {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>${title} | spidra-sync</title>${head}</head>
<body><a class="skip" href="#main">Skip to the numbers</a>${body}</body></html>
`.text
}
