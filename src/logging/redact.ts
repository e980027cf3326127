/** Replaces the secrets in a text by `[redacted]`. */
export type Redact = (text: string) => string

/** The secrets that the process knows. The list only grows: an old key may still stand in a message. */
export interface Secrets {
  readonly all: readonly string[]
  add(more: readonly string[]): void
  /** Replaces every secret that is known by now. */
  readonly redact: Redact
}

/** Creates the list of secrets; each value is kept once. */
export function createSecrets(first: readonly string[]): Secrets {
  let all: readonly string[] = first
  return {
    get all() {
      return all
    },
    add(more) {
      if (more.some((secret) => !all.includes(secret))) all = Object.freeze([...new Set([...all, ...more])])
    },
    redact: (text) => createRedact(all)(text),
  }
}

/**
 * A shorter secret is replaced only where it is a word of its own. Replaced inside other words, the gaps would show what
 * it is.
 */
const MIN_LENGTH_ANYWHERE = 4

/** A shorter piece of base64 can occur in any word by chance. */
const MIN_BASE64_LENGTH = 8

/** Creates a function that replaces every occurrence of `secrets` in plain text by `[redacted]`. */
export function createRedact(secrets: readonly string[]): Redact {
  const spellings = new Set(secrets.flatMap(spellingsOf))
  // The longest first: one secret may be part of another, and the rest of the longer one must not remain.
  const patterns = [...spellings].sort((a, b) => b.length - a.length).map(toPattern)
  if (patterns.length === 0) return (text) => text
  const anySecret = new RegExp(patterns.join('|'), 'gu')
  return (text) => text.replace(anySecret, '[redacted]')
}

/** Does the same for a line of JSON. Only the contents of strings change, so the line stays valid JSON. */
export function createJsonRedact(secrets: readonly string[]): Redact {
  const redact = createRedact(secrets)
  const redactString = (literal: string) => {
    const text: string = JSON.parse(literal)
    return JSON.stringify(redact(text))
  }
  return (line) => line.replace(/"[^"\\]*(?:\\.[^"\\]*)*"/g, redactString)
}

/** The secret as it is, as JSON, as part of a URL, and as base64, which an `Authorization` header uses. */
function spellingsOf(secret: string): readonly string[] {
  const wellFormed = secret.toWellFormed()
  const escaped = JSON.stringify(secret).slice(1, -1)
  return [secret, escaped, encodeURIComponent(wellFormed), encodeURI(wellFormed), ...base64Of(secret)]
}

/**
 * The base64 letters of a secret that do not depend on the text around it. They differ by where in a group of three bytes
 * the secret begins, so there are three forms.
 */
function base64Of(secret: string): readonly string[] {
  const bytes = Buffer.from(secret)
  return [0, 1, 2].flatMap((offset) => {
    const whole = (alphabet: 'base64' | 'base64url') =>
      Buffer.concat([Buffer.alloc(offset), bytes])
        .toString(alphabet)
        .slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6))
    return [whole('base64'), whole('base64url')].filter((letters) => letters.length >= MIN_BASE64_LENGTH)
  })
}

function toPattern(secret: string): string {
  const literal = secret.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  return secret.length < MIN_LENGTH_ANYWHERE ? `(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])` : literal
}
