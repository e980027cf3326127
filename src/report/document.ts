import { html, type Markup } from './html.js'

/** A page that says one thing, as when the database is away. */
export function toMessagePage(head: Markup, title: string, words: string): string {
  return toDocument(
    head,
    html`<header><p class="brand">spidra-sync</p></header>
<main id="main"><section class="freshness bad" aria-label="Freshness"><h1>${title}</h1><p>${words}</p></section></main>`,
  )
}

/** What every page has around its body. */
export function toDocument(head: Markup, body: Markup): string {
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>spidra-sync: batch jobs</title>${head}</head>
<body><a class="skip" href="#main">Skip to the numbers</a>${body}</body></html>
`.text
}
