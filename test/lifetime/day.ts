/** What a day of scaled time has shown. */
export interface Day {
  requests: number
  /** Of them for the items of batches. */
  itemRequests: number
  windows: number
  /** Most requests of ours in one window, of all processes. */
  fullest: number
  /** 429 that the rate limit gave; injected faults are not counted. */
  refused: number
  /** Runs by status and reason. */
  readonly runs: Map<string, number>
  /** Of `complete_as_of`, in scaled minutes; null before the first verdict. */
  worstAge: number | null
  /** The same, less what is excused. */
  worstUnexcusedAge: number
  /** Scaled minutes. */
  notReady: number
  readonly alerts: Map<string, number>
  /** Verdicts that moved `complete_as_of`, and those after which the whole set of rows was compared. */
  verdicts: number
  compared: number
  /** Most rows that were wrong in one comparison. */
  wrong: number
  stored: number
  listed: number
}

export function newDay(): Day {
  return {
    ...{
      requests: 0,
      itemRequests: 0,
      windows: 0,
      fullest: 0,
      refused: 0,
      runs: new Map(),
      worstAge: null,
      worstUnexcusedAge: 0,
      notReady: 0,
      alerts: new Map(),
    },
    ...{ verdicts: 0, compared: 0, wrong: 0, stored: 0, listed: 0 },
  }
}

export function count(tally: Map<string, number>, what: string): void {
  tally.set(what, (tally.get(what) ?? 0) + 1)
}

const COLUMNS: readonly (readonly [title: string, toText: (day: Day) => string])[] = [
  ['requests', ({ requests }) => String(requests)],
  ['of them for items', ({ itemRequests }) => String(itemRequests)],
  ['windows', ({ windows }) => String(windows)],
  ['most in one', ({ fullest }) => String(fullest)],
  ['429', ({ refused }) => String(refused)],
  ['runs', ({ runs }) => tallied(runs)],
  ['worst age of complete_as_of, min', ({ worstAge }) => worstAge?.toFixed(1) ?? '-'],
  ['less what is excused', ({ worstUnexcusedAge }) => worstUnexcusedAge.toFixed(1)],
  ['503, min', ({ notReady }) => notReady.toFixed(1)],
  ['alerts', ({ alerts }) => tallied(alerts)],
  ['verdicts, compared', ({ verdicts, compared }) => `${verdicts}, ${compared}`],
  ['rows wrong', ({ wrong }) => String(wrong)],
  ['jobs stored, listed', ({ stored, listed }) => `${stored}, ${listed}`],
]

export function tableHead(first: string): string {
  const titles = [first, ...COLUMNS.map(([title]) => title)]
  return `${toLine(titles)}\n${toLine(titles.map(() => '---'))}`
}

export function tableRow(first: string, day: Day): string {
  return toLine([first, ...COLUMNS.map(([, toText]) => toText(day))])
}

function toLine(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function tallied(tally: ReadonlyMap<string, number>): string {
  return tally.size === 0 ? '0' : [...tally].map(([what, times]) => `${times} ${what}`).join(', ')
}
