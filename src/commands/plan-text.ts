import { counted, wrapSentence } from '../logging/printable.js'
import type { Cost, Reading, StartingBudget } from '../sync/cost.js'

/** What `plan` found out, and made of it. */
export interface PlanReport {
  readonly account: string
  readonly now: Date
  /** Jobs listed. */
  readonly total: number
  /** Jobs on a page. */
  readonly limit: number
  /** What is wrong with the answer; null when nothing is. */
  readonly fault: string | null
  /** Null: no limit is known. */
  readonly budget: StartingBudget | null
  /** Who says so: the API, or the configuration. */
  readonly source: 'told' | 'configured'
  readonly requestMs: number
  /** Pages below the first with open jobs; null when that is not known. */
  readonly openPages: number | null
  /** Why it is not, in a sentence. */
  readonly unknownWhy: string | null
  readonly full: Reading & Cost
  readonly incremental: Reading & Cost
  /** The first incremental run of an hour. */
  readonly withSweep: Reading & Cost
}

/** The plan for a terminal of 80 columns. */
export function toPlanText(report: PlanReport): string {
  const { account, total, limit, full, fault } = report
  const pages = `${counted(full.pages, 'page')} of ${limit}`
  const found = [
    `Account ${account} lists ${counted(total, 'job')} on ${pages}.`,
    ...(fault === null ? [] : [`The answer proves nothing (${fault}): the figures may be wrong.`]),
    toBudgetText(report),
  ]
  const remarks = [...toOpenText(report), `Finished: if started now, at ${Math.ceil(report.requestMs)} ms a request.`]
  const blocks = [found.map(wrapSentence), toTable(report), remarks.map(wrapSentence)]
  return blocks.map((lines) => lines.map((line) => `${line}\n`).join('')).join('\n')
}

function toBudgetText({ budget, source, now }: PlanReport): string {
  if (budget === null) return 'Budget: no limit (the API tells none, and RATE_LIMIT_REQUESTS=off).'
  const { limit, remaining, resetInMs, windowMs, reserve } = budget
  const window = `Budget: ${counted(limit, 'request')} every ${number(windowMs / 1000)} s`
  const share = `spidra-sync leaves a share of ${reserve} to others (RATE_LIMIT_RESERVE).`
  if (source === 'configured') return `${window}, as configured: the API tells none; ${share}`
  return `${window}; ${number(remaining)} are left until ${toInstant(now, resetInMs)} UTC; ${share}`
}

function toOpenText({ openPages, unknownWhy }: PlanReport): string[] {
  if (openPages !== null) return [`Open jobs below page 1: on ${counted(openPages, 'page')}.`]
  const taken = 'Open jobs below page 1 are taken for none; each page of them is one request more.'
  return [taken, ...(unknownWhy === null ? [] : [unknownWhy])]
}

function toTable({ full, incremental, withSweep, now }: PlanReport): string[] {
  const costs = [full, incremental, withSweep]
  const row = (name: string, cell: (cost: Reading & Cost) => string) => [name, ...costs.map(cell)]
  const rows = [
    ['', 'Full pass', 'Incremental', 'and hourly sweep'],
    row('Pages', ({ pages }) => number(pages)),
    row('Requests', ({ requests }) => number(requests)),
    row('Share of a window', ({ shareOfWindow }) => (shareOfWindow === null ? '-' : percent(shareOfWindow))),
    row('Windows', ({ windows }) => (windows === null ? '-' : number(windows))),
    row('Finished (UTC)', ({ durationMs }) => toInstant(now, durationMs)),
  ]
  return rows.map(([name = '', ...cells]) => name.padEnd(17) + cells.map((cell) => cell.padStart(21)).join(''))
}

function toInstant(now: Date, laterMs: number): string {
  const instant = new Date(now.getTime() + laterMs)
  // A server may list more jobs than the calendar has time for.
  return Number.isNaN(instant.getTime()) ? '-' : instant.toISOString().slice(0, 19).replace('T', ' ')
}

function number(value: number): string {
  return value.toLocaleString('en')
}

function percent(share: number): string {
  return share.toLocaleString('en', { style: 'percent', maximumSignificantDigits: 3 })
}
