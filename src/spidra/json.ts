import { isSafeNumber, LosslessNumber, parse, stringify } from 'lossless-json'

/**
 * A number, in the place of a value, that a double may not hold: sixteen digits or an exponent. Inside strings it
 * matches too; that costs time, never correctness.
 */
const UNSAFE_NUMBER = /[:[,]\s*-?(?:[\d.]{16}|\d[\d.]*[eE])/

/**
 * Parses JSON without rounding: a number that a double cannot hold exactly stays its text, as a `LosslessNumber`.
 * Of a key that is given twice the last value counts, as in `JSON.parse`.
 *
 * @throws SyntaxError when `text` is not JSON.
 */
export function parseJson(text: string): unknown {
  if (!UNSAFE_NUMBER.test(text)) return JSON.parse(text)
  return parse(text, null, {
    parseNumber: (digits) => (isSafeNumber(digits) ? Number(digits) : new LosslessNumber(digits)),
    onDuplicateKey: ({ newValue }) => newValue,
  })
}

/**
 * Writes what `parseJson` read. NUL and lone surrogates come out as escapes, so the text itself is clean.
 * What is nested deeper than the stack reaches comes out as a note that says so.
 */
export function toJson(value: unknown): string {
  try {
    return stringify(value) ?? 'null'
  } catch (error) {
    if (error instanceof RangeError) return JSON.stringify({ note: 'nested too deeply to be written' })
    throw error
  }
}
