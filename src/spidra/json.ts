import { randomUUID } from 'node:crypto'

/**
 * Matches a number that a double may not hold exactly: sixteen digits or an exponent. It may also match inside a
 * string; that costs time, never correctness.
 */
const MAYBE_INEXACT = /(?:^|[:[,])\s*-?(?:[\d.]{16}|[\d.]+[eE])/

/** Matches numbers, and whole strings so that numbers inside them are skipped. */
const STRING_OR_NUMBER = /"[^"\\]*(?:\\.[^"\\]*)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/**
 * The key of a number kept as text: `{ [EXACT]: '1e400' }`. No answer can contain it, because every process draws its
 * own.
 */
const EXACT = randomUUID()

/**
 * Parses JSON without rounding. A number that a double cannot hold is kept as text, wrapped in an object, so that a
 * schema that expects a number refuses it. If a name occurs twice, the last value counts, as in `JSON.parse`. The stack
 * does not limit the depth.
 *
 * @throws SyntaxError when `text` is not JSON.
 */
export function parseJson(text: string): unknown {
  if (!MAYBE_INEXACT.test(text)) return JSON.parse(text)
  const wrap = (token: string) => (token.startsWith('"') || isExact(token) ? token : `{"${EXACT}":"${token}"}`)
  return JSON.parse(text.replace(STRING_OR_NUMBER, wrap))
}

/** A double returns any decimal of up to 15 digits unchanged, except the smallest (IEEE 754). */
function isExact(digits: string): boolean {
  const significant = digits
    .replace(/[eE].*/, '')
    .replace(/\D/g, '')
    .replace(/^0+/, '')
  const size = Math.abs(Number(digits))
  return significant === '' || (significant.length <= 15 && size > 1e-300 && size < Number.POSITIVE_INFINITY)
}

/**
 * Writes a value that `parseJson` read. NUL and lone surrogates are written as escapes, so that the text can be stored.
 */
export function toJson(value: unknown): string {
  const text = stringify(value)
  return text === null || text.includes(EXACT) ? writeByHand(value) : text
}

/** Null: deeper than the call stack. */
function stringify(value: unknown): string | null {
  try {
    return JSON.stringify(value) ?? 'null'
  } catch {
    return null
  }
}

function writeByHand(value: unknown): string {
  let text = ''
  // An explicit stack, the next part on top: the call stack ends after some thousand levels.
  const pending: Part[] = [{ value }]
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    if ('text' in part) text += part.text
    else if (typeof part.value !== 'object' || part.value === null) text += JSON.stringify(part.value) ?? 'null'
    else if (isKeptNumber(part.value)) text += part.value[EXACT]
    else for (const inner of partsOf(part.value).reverse()) pending.push(inner)
  }
  return text
}

function isKeptNumber(value: object): value is { readonly [EXACT]: string } {
  return EXACT in value
}

/** JSON text, or a value still to be written. */
type Part = { readonly text: string } | { readonly value: unknown }

function partsOf(value: object): Part[] {
  const isArray = Array.isArray(value)
  const inner = Object.entries(value).flatMap(([name, element], index): Part[] => [
    { text: `${index === 0 ? '' : ','}${isArray ? '' : `${JSON.stringify(name)}:`}` },
    { value: element },
  ])
  return [{ text: isArray ? '[' : '{' }, ...inner, { text: isArray ? ']' : '}' }]
}
