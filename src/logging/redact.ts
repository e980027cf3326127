/** Replaces the secrets in a text by `[redacted]`. */
export type Redact = (text: string) => string

/** The secrets that the process knows. The list only grows: an old key may still stand in a message. */
export interface Secrets {
  readonly all: readonly string[]
  add(more: readonly string[]): void
  /** Replaces every secret that is known by now, in plain text. */
  readonly redact: Redact
  /** Does the same in JSON, which stays valid. */
  readonly redactJson: Redact
}

/** Creates the list of secrets; each value is kept once. */
export function createSecrets(first: readonly string[]): Secrets {
  let all: readonly string[] = first
  let redact = createRedact(all)
  let redactJson = createJsonRedact(redact)
  return {
    get all() {
      return all
    },
    add(more) {
      if (more.every((secret) => all.includes(secret))) return
      all = Object.freeze([...new Set([...all, ...more])])
      redact = createRedact(all)
      redactJson = createJsonRedact(redact)
    },
    redact: (text) => redact(text),
    redactJson: (text) => redactJson(text),
  }
}

/**
 * Makes a stream redact all that is written to it, whoever writes: a dependency, the console, or Node itself, whose
 * `NODE_DEBUG` cannot be switched off once the process has begun. Words stay: the log and the errors redact those of their own.
 */
export function redactOutput(stream: Pick<NodeJS.WriteStream, 'write'>, secrets: Secrets): void {
  const { write } = stream
  let known: readonly string[] | null = null
  let redact: Redact = (text) => text
  let redactJson = redact
  stream.write = (chunk: string | Uint8Array, ...others: unknown[]) => {
    if (known !== secrets.all) {
      known = secrets.all
      redact = createRedact(known.filter((secret) => !isWord(secret)))
      redactJson = createJsonRedact(redact)
    }
    const text = typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString()
    const clean = /^\s*[{[]\s*["{]/.test(text) ? redactJson(text) : redact(text)
    return Reflect.apply(write, stream, [clean === text ? chunk : clean, ...others])
  }
}

/** Whether ordinary output has the text for another reason: short words, and the usual password of a first try. */
function isWord(text: string): boolean {
  return text.length < MIN_LENGTH_ANY_SPELLING || /^postgres(ql)?$/i.test(text)
}

const MARK = '[redacted]'

/**
 * A shorter secret is replaced only where it is a word of its own. Replaced inside other words, the gaps would show what
 * it is.
 */
const MIN_LENGTH_ANYWHERE = 4

/**
 * A secret from this length on is also replaced in other letter case, in base64 and in hexadecimal. The spellings of a
 * shorter one can occur in any text by chance.
 */
export const MIN_LENGTH_ANY_SPELLING = 8

/** Creates a function that replaces every occurrence of `secrets` in plain text by `[redacted]`. */
export function createRedact(secrets: readonly string[]): Redact {
  const isLong = (secret: string) => !isWord(secret)
  const long = toPattern(secrets.filter(isLong).flatMap(longPatternsOf), 'giu')
  const short = toPattern(
    secrets.filter((secret) => !isLong(secret)).flatMap((secret) => spellingsOf(secret).map(toLiteral)),
    'gu',
  )
  return (text) => text.replace(long, MARK).replace(short, MARK)
}

/**
 * Creates a function that does the same in JSON. Only the contents of strings change, so JSON stays valid. A text without a
 * secret and without an escape costs one search.
 */
export function createJsonRedact(redact: Redact): Redact {
  const redactString = (literal: string) => {
    const text = literal.includes('\\') ? readString(literal) : literal.slice(1, -1)
    const clean = redact(text)
    return clean === text ? literal : JSON.stringify(clean)
  }
  return (json) => {
    if (!json.includes('\\') && redact(json) === json) return json
    return json.replace(/"[^"\\]*(?:\\.[^"\\]*)*"/g, redactString)
  }
}

/** The content of a string of JSON. Where it is not valid, as it is written. */
function readString(literal: string): string {
  try {
    return JSON.parse(literal)
  } catch {
    return literal.slice(1, -1)
  }
}

/** The secret as it is, as JSON, and as part of a URL. */
function spellingsOf(secret: string): readonly string[] {
  const wellFormed = secret.toWellFormed()
  const inUrl = [encodeURIComponent(wellFormed), encodeURI(wellFormed)]
  const lowerCase = inUrl.map((text) => text.replace(/%../g, (code) => code.toLowerCase()))
  return [secret, JSON.stringify(secret).slice(1, -1), ...inUrl, ...lowerCase]
}

/** Patterns, without regard to case, for all spellings of a long secret. */
function longPatternsOf(secret: string): readonly string[] {
  return [...[...spellingsOf(secret), ...base64Of(secret)].map(toLiteral), hexOf(secret)]
}

/** Matches the bytes in hexadecimal: together, or apart as in `%73%70`, `73:70` or `<Buffer 73 70>`. */
function hexOf(secret: string): string {
  return Array.from(Buffer.from(secret), (byte) => byte.toString(16).padStart(2, '0')).join('[%: ]?')
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
    return [whole('base64'), whole('base64url')]
  })
}

function toLiteral(text: string): string {
  const literal = text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  return text.length < MIN_LENGTH_ANYWHERE ? `(?<![\\p{L}\\p{N}])${literal}(?![\\p{L}\\p{N}])` : literal
}

/** Joins patterns, the longest first: one secret may be part of another, and the rest of the longer one must not remain. */
function toPattern(patterns: readonly string[], flags: string): RegExp {
  const longestFirst = [...new Set(patterns)].sort((a, b) => b.length - a.length)
  // The mark itself matches first, so that a second pass changes nothing.
  return new RegExp([toLiteral(MARK), ...longestFirst].join('|'), flags)
}
