/**
 * What a terminal obeys, does not show, or shows in another order than it stands there: control and format characters,
 * marks of the reading direction, line separators, lone surrogates, unassigned code points.
 */
const UNPRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/u
const EVERY_UNPRINTABLE = new RegExp(UNPRINTABLE, 'gu')

/** Whether people see the text as it is. */
export function isPrintable(text: string): boolean {
  return !UNPRINTABLE.test(text)
}

/** One line in which nothing is hidden: unprintable characters are escaped as in JSON, line breaks too. */
export function toPrintable(text: string): string {
  return text.replace(EVERY_UNPRINTABLE, (character) =>
    Array.from({ length: character.length }, (_, unit) => escapeUnit(character.charCodeAt(unit))).join(''),
  )
}

/** The same, but line breaks stay. A line of JSON means the same afterwards. */
export function toPrintableLines(text: string): string {
  return text.split('\n').map(toPrintable).join('\n')
}

/** A sentence for people: a space stands where unprintable characters were. */
export function toSentence(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ')
}

/** A number and what it counts, for people: 1 run, 2,000 runs. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}

/** Breaks a sentence between words, into lines for a terminal of 80 columns. A longer word stays whole. */
export function wrapSentence(text: string): string {
  return text.replace(/(.{1,80})(?: +|$)/g, '$1\n').trimEnd()
}

function escapeUnit(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`
}
