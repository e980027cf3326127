/** Takes the secrets out of a text. */
export type Redact = (text: string) => string

/** Below this length a secret is replaced only where it stands alone: taken out of words, its gaps would spell it. */
const MIN_LENGTH_ANYWHERE = 4

/** What is left of a shorter secret in base64 could be a part of any word. */
const MIN_BASE64_LENGTH = 8

/** Makes a function that replaces every occurrence of `secrets` in plain text by `[redacted]`. */
export function createRedact(secrets: readonly string[]): Redact {
  const spellings = new Set(secrets.flatMap(spellingsOf))
  // Longest first: a secret may be part of another one, which must not leave its rest behind.
  const patterns = [...spellings].sort((a, b) => b.length - a.length).map(toPattern)
  if (patterns.length === 0) return (text) => text
  const anySecret = new RegExp(patterns.join('|'), 'gu')
  return (text) => text.replace(anySecret, '[redacted]')
}

/** The same for a line of JSON, which stays JSON whatever the secrets are: only the contents of strings are touched. */
export function createJsonRedact(secrets: readonly string[]): Redact {
  const redact = createRedact(secrets)
  const redactString = (literal: string) => {
    const text: string = JSON.parse(literal)
    return JSON.stringify(redact(text))
  }
  return (line) => line.replace(/"[^"\\]*(?:\\.[^"\\]*)*"/g, redactString)
}

/** As it is, inside JSON, inside a URL, and inside something in base64, as an `Authorization` header is. */
function spellingsOf(secret: string): readonly string[] {
  const wellFormed = secret.toWellFormed()
  const escaped = JSON.stringify(secret).slice(1, -1)
  return [secret, escaped, encodeURIComponent(wellFormed), encodeURI(wellFormed), ...base64Of(secret)]
}

/** The letters that are the same whatever stands before and after; it may begin at any of three places in a group. */
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
