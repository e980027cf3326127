import { formatDuration, toSentence, wrapWords } from '../../logging/printable.js'

/** `skip`: the check could not be made, or there is nothing to check yet. */
type CheckStatus = 'ok' | 'warn' | 'fail' | 'skip'

/** The result of a check. */
export interface Finding {
  readonly status: CheckStatus
  /** What was found, in a sentence or two. */
  readonly detail: string
  /** What to do about it. */
  readonly fix?: string
}

export interface Check extends Finding {
  /** One of a fixed list, for programs. */
  readonly name: string
}

export const ok = (detail: string): Finding => ({ status: 'ok', detail })
export const warn = (detail: string, fix?: string): Finding => ({ status: 'warn', detail, ...(fix ? { fix } : {}) })
export const fail = (detail: string, fix?: string): Finding => ({ status: 'fail', detail, ...(fix ? { fix } : {}) })
export const skip = (detail: string): Finding => ({ status: 'skip', detail })

const COLUMNS = 80
const NAME_COLUMN = 6
const TEXT_COLUMN = 22

const COLOURS: Readonly<Record<CheckStatus, string>> = { ok: '32', warn: '33', fail: '31', skip: '2' }

/** Formats a check for a terminal of 80 columns: status, name, what was found, and on lines of its own what to do. */
export function toCheckText({ status, name, detail, fix }: Check, { colour }: { readonly colour: boolean }): string {
  const texts = [toSentence(detail), ...(fix === undefined ? [] : [`Fix: ${toSentence(fix)}`])]
  const [first = '', ...rest] = texts.flatMap(toLines)
  const word = status.padEnd(NAME_COLUMN)
  const painted = colour ? `\u001b[${COLOURS[status]}m${word}\u001b[0m` : word
  const lines = [`${painted}${name.padEnd(TEXT_COLUMN - NAME_COLUMN)}${first}`]
  return [...lines, ...rest.map((line) => `${' '.repeat(TEXT_COLUMN)}${line}`), ''].join('\n')
}

/** Breaks a text between words, and inside a word that is longer than a line. */
function toLines(text: string): string[] {
  const width = COLUMNS - TEXT_COLUMN
  const pieces = text.split(' ').flatMap((word) => word.match(new RegExp(`.{1,${width}}`, 'gu')) ?? [''])
  return wrapWords(pieces, width)
}

/** Counts the checks of each status, in one line. */
export function toSummary(checks: readonly Check[]): string {
  const count = (status: CheckStatus) => checks.filter((check) => check.status === status).length
  const parts = [
    `${count('ok')} ok`,
    `${count('warn')} to check`,
    `${count('fail')} failed`,
    `${count('skip')} skipped`,
  ]
  return `\n${checks.length} checks: ${parts.join(', ')}.\n`
}

/** Clocks that differ by less do no harm, in milliseconds. */
const MAX_SKEW_MS = 30_000

/**
 * Compares another clock with the clock of this machine.
 *
 * @param theirs the other clock, in epoch milliseconds, read at some moment between `askedAt` and `answeredAt`, which are
 *   read from our clock
 * @param times `precisionMs` is the resolution of `theirs`: 1000 for a clock of whole seconds
 */
export function compareClocks(
  theirs: number,
  times: { readonly askedAt: number; readonly answeredAt: number; readonly precisionMs: number },
  whose: string,
): Finding {
  const { askedAt, answeredAt, precisionMs } = times
  // A clock of whole seconds that shows `theirs` may be almost one second further.
  const ahead = askedAt - (theirs + precisionMs)
  const behind = theirs - answeredAt
  const fix =
    'Let NTP set both clocks. This one decides schedules and freshness; budgets follow the API, changes Postgres.'
  if (ahead > MAX_SKEW_MS)
    return warn(`This machine is at least ${formatDuration(ahead / 1000)} ahead of ${whose}.`, fix)
  if (behind > MAX_SKEW_MS)
    return warn(`This machine is at least ${formatDuration(behind / 1000)} behind ${whose}.`, fix)
  return ok(`Within ${formatDuration(MAX_SKEW_MS / 1000)} of ${whose}.`)
}
