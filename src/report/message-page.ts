import { databaseErrorCode } from '../db/connection-error.js'
import { html, type Markup, toDocument } from './html.js'

/** Composes a page with one message, for example that the database does not answer. */
export function toMessagePage(head: Markup, title: string, text: string): string {
  return toDocument(
    head,
    title,
    html`<header><p class="brand">spidra-sync</p></header>
<main id="main"><section class="freshness bad" aria-label="Freshness"><h1>${title}</h1><p>${text}</p></section></main>`,
  )
}

/** The message that replaces a page. */
export interface PageMessage {
  /** HTTP status: 503 if a later request may succeed, 500 if the error is in spidra-sync. */
  readonly code: 503 | 500
  readonly title: string
  readonly text: string
}

/** Explains why the page cannot be shown. Names no server, query or user, which readers must not see. */
export function toPageMessage(error: unknown): PageMessage {
  const code = databaseErrorCode(error)
  switch (code) {
    case null:
      return {
        code: 500,
        title: 'This page could not be built',
        text: 'The error is in spidra-sync. See the log.',
      }
    case 'unreachable':
      return {
        code: 503,
        title: 'The database does not answer',
        text: 'Nothing can be shown now. The service keeps trying. See /readyz and the log for the error.',
      }
    case 'busy':
      return {
        code: 503,
        title: 'No connection to the database is free',
        text: 'The connections of this process are all in use, or could not be opened in time. Runs may go on. See /readyz.',
      }
    case 'time_limit':
      return {
        code: 503,
        title: 'The database took too long',
        text: 'It answers, but a query of this page was cut off at its time limit. Runs may go on.',
      }
    default:
      return {
        code: 503,
        title: 'The database refuses a query of this page',
        text: `It answers with an error (${code}). See the log and /readyz.`,
      }
  }
}
