/** Takes the secrets out of a text. */
export type Redact = (text: string) => string

/** Below this length a secret is replaced only where it stands alone: taken out of words, its gaps would spell it. */
const MIN_LENGTH_ANYWHERE = 4

/** Makes a function that replaces every occurrence of `secrets` in plain text by `[redacted]`. */
export function createRedact(secrets: readonly string[]): Redact {
  // JSON inside a message shows a secret in its escaped spelling.
  const spellings = new Set(secrets.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]))
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

function toPattern(secret: string): string {
  const literal = secret.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  return secret.length < MIN_LENGTH_ANYWHERE ? `(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])` : literal
}
