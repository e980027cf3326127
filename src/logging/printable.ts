/**
 * Characters that a terminal acts on, hides, or shows in another order: control and format characters, marks of the
 * reading direction, line separators, lone surrogates, unassigned code points.
 */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u
const EVERY_UNPRINTABLE = new RegExp(UNPRINTABLE, 'gu')

/** Whether a terminal shows the text exactly as it is. */
export function isPrintable(text: string): boolean {
  return !UNPRINTABLE.test(text)
}

/** Escapes unprintable characters as JSON does, line breaks included. The result is one line that hides nothing. */
export function toPrintable(text: string): string {
  return text.replace(EVERY_UNPRINTABLE, (character) =>
    Array.from({ length: character.length }, (_, unit) => escapeUnit(character.charCodeAt(unit))).join(''),
  )
}

/** Does the same and keeps line breaks. A line of JSON keeps its meaning. */
export function toPrintableLines(text: string): string {
  return text.split('\n').map(toPrintable).join('\n')
}

/** Replaces each series of unprintable characters by one space, for a sentence that people read. */
export function toSentence(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ')
}

/** Formats a number for people: 2,000. */
export function formatNumber(value: number): string {
  return value.toLocaleString('en')
}

/** Formats a number with its noun: 1 run, 2,000 runs. `plural`: default the noun with an s. */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${formatNumber(count)} ${count === 1 ? noun : plural}`
}

/** Formats a duration for people, in its two largest units: 4.2 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. */
export function formatDuration(seconds: number): string {
  if (seconds < 9.95) return `${Math.round(seconds * 10) / 10} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return inUnits(whole, 60, 'min', 's')
  // Rounded down: 23 h 59 min 50 s is not 24 h.
  if (whole < 86_400) return inUnits(Math.floor(whole / 60), 60, 'h', 'min')
  return inUnits(Math.floor(whole / 3600), 24, 'd', 'h')
}

function inUnits(amount: number, base: number, large: string, small: string): string {
  const rest = amount % base
  return `${formatNumber(Math.floor(amount / base))} ${large}${rest === 0 ? '' : ` ${rest} ${small}`}`
}

/** Breaks a sentence between words, into lines for a terminal of 80 columns. A longer word stays whole. */
export function wrapSentence(text: string): string {
  return wrapWords(text.split(' '), 80).join('\n')
}

/** Where a text is written. */
export interface TextOutput {
  readonly isTTY?: boolean
  /** Width of a terminal; 0 where it has no size, as in some containers. */
  readonly columns?: number
}

/** Breaks lines between words at the width of a terminal. A pipe or a file gets them whole, for programs. */
export function wrapFor({ isTTY, columns }: TextOutput, text: string): string {
  if (!isTTY) return text
  return text
    .split('\n')
    .flatMap((line) => wrapWords(line.split(' '), columns || 80))
    .join('\n')
}

/** Joins words to lines of at most `width` characters. A longer word gets a line of its own. */
export function wrapWords(words: readonly string[], width: number): string[] {
  const lines: string[] = []
  for (const word of words) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}

function escapeUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`
}
