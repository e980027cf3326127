import pretty from 'pino-pretty'
import { isPrintable, toPrintable, toSentence } from './printable.js'

const INDENT = '    '
const WIDTH = 80

/** Formats one line of the JSON log for people: time, level and message, below them the fields, wrapped. */
export function createPrettyFormat(options: { colorize: boolean }): (line: string) => string {
  const format = pretty.prettyFactory({
    colorize: options.colorize,
    // UTC, as in the JSON format and in the database.
    translateTime: "UTC:HH:MM:ss'Z'",
    hideObject: true,
    messageFormat: (log, messageKey) => [toSentence(String(log[messageKey] ?? '')), ...detailLines(log)].join('\n'),
  })
  return (line) => format(line)
}

function detailLines({ level: _level, time: _time, msg: _msg, err, ...fields }: Record<string, unknown>): string[] {
  const shown = Object.entries(fields).filter(([, value]) => value !== null)
  return [...wrap(shown.map(([key, value]) => `${toPrintable(key)}=${toText(value)}`)), ...errorLines(err)]
}

function errorLines(err: unknown): string[] {
  if (typeof err !== 'object' || err === null) return []
  const { type, code, message, stack } = { type: 'Error', code: null, message: '', stack: '', ...err }
  const head = code === null ? `${type}:` : `${type} (${code}):`
  const frames = String(stack).split('\n').slice(1)
  return [...wrap(toSentence(`${head} ${message}`).split(' ')), ...frames.map((frame) => INDENT + toSentence(frame))]
}

/** A string as it is where that is unambiguous, else as JSON. */
function toText(value: unknown): string {
  if (typeof value === 'string' && /^[^\s"]+$/.test(value) && isPrintable(value)) return value
  return toPrintable(JSON.stringify(value))
}

/** Fills lines with words; one that is longer than a line gets its own. */
function wrap(words: readonly string[]): string[] {
  const lines: string[] = []
  for (const word of words) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= WIDTH) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(INDENT + word)
  }
  return lines
}
