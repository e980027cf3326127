import type { AlertDetails, AlertState } from '../db/alerts.js'
import { toSentence } from '../logging/printable.js'
import type { Redact } from '../logging/redact.js'

/** A change of an alert's state, to be sent to the webhook. */
export interface Notification {
  readonly account: string
  readonly kind: string
  readonly state: AlertState
  readonly since: Date
  readonly summary: string
  readonly details: AlertDetails
}

/** The JSON that is posted. Chats compatible with Slack show `text` and ignore the rest, whose names Slack does not use. */
export interface AlertMessage {
  readonly text: string
  readonly source: 'spidra-sync'
  /** Equal for all messages about one change of state: a message whose answer is lost is sent again. */
  readonly id: string
  readonly kind: string
  readonly state: AlertState
  readonly account: string
  /** ISO 8601. */
  readonly since: string
  readonly summary: string
  readonly details: AlertDetails
}

/** Longer strings are cut to this number of characters, because a message from the API may have any length. */
const MAX_LENGTH = 500

const MARKS = { firing: '\u{1f534}', resolved: '\u{1f7e2}' } as const

/** Composes the message. Its strings have at most 500 characters, except `text`, which consists of several of them. */
export function toMessage(notification: Notification, redact: Redact): AlertMessage {
  const clean = (text: string) => cut(toSentence(redact(text)))
  const { kind, state } = notification
  const account = clean(notification.account)
  const summary = clean(notification.summary)
  const since = notification.since.toISOString()
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
    details: mapTexts(notification.details, clean),
  }
}

/** The summary and the details of an alert, as they are stored. */
export function withoutSecrets(
  { summary, details }: Pick<Notification, 'summary' | 'details'>,
  redact: Redact,
): Pick<Notification, 'summary' | 'details'> {
  return { summary: redact(summary), details: mapTexts(details, redact) }
}

function mapTexts(details: AlertDetails, clean: Redact): AlertDetails {
  return Object.fromEntries(Object.entries(details).map(([name, value]) => [name, cleanValue(value, clean)]))
}

function cleanValue(value: AlertDetails[string], clean: Redact): AlertDetails[string] {
  if (typeof value === 'string') return clean(value)
  return typeof value === 'object' ? (value?.map(clean) ?? null) : value
}

/**
 * Escapes the characters with a meaning in chats: three in Slack
 * (https://docs.slack.dev/messaging/formatting-message-text), and `@`, which notifies everybody in Mattermost and Discord.
 */
function toSlack(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('@', '@\u200b')
}

function cut(text: string): string {
  const characters = Array.from(text)
  return characters.length <= MAX_LENGTH ? text : `${characters.slice(0, MAX_LENGTH - 3).join('')}...`
}
