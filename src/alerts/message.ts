import type { AlertDetails, AlertState } from '../db/alerts.js'
import { toSentence } from '../logging/printable.js'
import type { Redact } from '../logging/redact.js'

/** Something to tell. */
export interface Tidings {
  readonly account: string
  readonly kind: string
  readonly state: AlertState
  readonly since: Date
  readonly summary: string
  readonly details: AlertDetails
}

/** What is posted. Chats of Slack's kind show `text` and ignore the rest; names that Slack gives a meaning are not used. */
export interface AlertMessage {
  readonly text: string
  readonly source: 'spidra-sync'
  /** The same whenever the same change of state is told: a message that is lost on its way back is sent again. */
  readonly id: string
  readonly kind: string
  readonly state: AlertState
  readonly account: string
  /** ISO 8601. */
  readonly since: string
  readonly summary: string
  readonly details: AlertDetails
}

/** Strings are cut to so many characters: a message from the API may be as long as the API likes. */
const MAX_LENGTH = 500

const MARKS = { firing: '\u{1f534}', resolved: '\u{1f7e2}' } as const

/** Composes the message. None of its strings is longer than 500 characters, but `text`, which is made of them. */
export function toMessage(tidings: Tidings, redact: Redact): AlertMessage {
  const clean = (text: string) => cut(toSentence(redact(text)))
  const { kind, state } = tidings
  const account = clean(tidings.account)
  const summary = clean(tidings.summary)
  const since = tidings.since.toISOString()
  const words = `${MARKS[state]} [${state}] spidra-sync, account ${account}: ${summary}`
  return {
    text: toSlack(words),
    source: 'spidra-sync',
    id: `${account}/${kind}/${since}`,
    kind,
    state,
    account,
    since,
    summary,
    details: Object.fromEntries(
      Object.entries(tidings.details).map(([name, value]) => [name, cleanValue(value, clean)]),
    ),
  }
}

function cleanValue(value: AlertDetails[string], clean: Redact): AlertDetails[string] {
  if (typeof value === 'string') return clean(value)
  return typeof value === 'object' ? (value?.map(clean) ?? null) : value
}

/**
 * Escapes what chats obey: Slack's three characters (https://docs.slack.dev/messaging/formatting-message-text), and `@`,
 * by which Mattermost and Discord would call everybody.
 */
function toSlack(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('@', '@\u200b')
}

function cut(text: string): string {
  const characters = Array.from(text)
  return characters.length <= MAX_LENGTH ? text : `${characters.slice(0, MAX_LENGTH - 3).join('')}...`
}
