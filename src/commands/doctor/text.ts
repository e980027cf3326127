import { toSentence } from '../../logging/printable.js'
import type { Check, CheckStatus } from './check.js'

const COLUMNS = 80
const NAME_COLUMN = 6
const TEXT_COLUMN = 22

const COLOURS: Readonly<Record<CheckStatus, string>> = { ok: '32', warn: '33', fail: '31', skip: '2' }

/** One check for a terminal of 80 columns: its status, its name, what was found, and in lines of its own the mend. */
export function toCheckText({ status, name, detail, mend }: Check, { colour }: { readonly colour: boolean }): string {
  const texts = [toSentence(detail), ...(mend === undefined ? [] : [`Mend: ${toSentence(mend)}`])]
  const [first = '', ...rest] = texts.flatMap((text) => wrap(text, COLUMNS - TEXT_COLUMN))
  const word = status.padEnd(NAME_COLUMN)
  const painted = colour ? `\u001b[${COLOURS[status]}m${word}\u001b[0m` : word
  const lines = [`${painted}${name.padEnd(TEXT_COLUMN - NAME_COLUMN)}${first}`]
  return [...lines, ...rest.map((line) => `${' '.repeat(TEXT_COLUMN)}${line}`), ''].join('\n')
}

/** How many of each kind, in a line. */
export function toSummary(checks: readonly Check[]): string {
  const count = (status: CheckStatus) => checks.filter((check) => check.status === status).length
  const parts = [
    `${count('ok')} ok`,
    `${count('warn')} to look at`,
    `${count('fail')} failed`,
    `${count('skip')} skipped`,
  ]
  return `\n${checks.length} checks: ${parts.join(', ')}.\n`
}

/** Breaks between words, and a longer word where it must. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    let rest = word
    if (line !== '' && line.length + 1 + rest.length > width) {
      lines.push(line)
      line = ''
    }
    while (rest.length > width) {
      lines.push(rest.slice(0, width))
      rest = rest.slice(width)
    }
    line = line === '' ? rest : `${line} ${rest}`
  }
  return [...lines, line]
}
