import { PAGE_LIMIT } from '../config/scale.js'
import { countUnread } from '../db/batch-items.js'
import { countOpenPages } from '../db/batch-jobs-read.js'
import { readDatabaseTime } from '../db/client.js'
import { toDatabaseError } from '../db/connection-error.js'
import { counted, formatDuration, formatNumber, wrapSentence } from '../logging/printable.js'
import { type LoadProgress, readLoadProgress, toLoadSentence } from '../report/load-progress.js'
import { intervalMsOf } from '../service/account-run.js'
import { eachAccount } from '../service/accounts.js'
import { type CommandContext, EXIT_CODES } from '../service/context.js'
import { hasDatabase, mustLookUpName, openConfiguredDatabase, openDatabaseForAccounts } from '../service/database.js'
import { createSpidraClient, type ListAnswer, type RequestEvent } from '../spidra/client.js'
import {
  type Cost,
  costOf,
  fullPass,
  incrementalRun,
  type Reading,
  type ResultsCost,
  resultsCost,
  type StartingBudget,
  toStartingBudget,
} from '../sync/cost.js'
import { faultOf } from '../sync/page.js'

/**
 * `spidra-sync plan`: shows what a full pass and an incremental run would cost, with one request per account. Writes nothing,
 * and creates no embedded Postgres. Returns the exit code.
 *
 * @throws {SpidraError} when the request for the only account fails
 */
export async function runPlanCommand(
  context: CommandContext<string | null>,
  flags: { readonly json: boolean },
): Promise<number> {
  if (mustLookUpName(context)) await (await openDatabaseForAccounts(context, { mustExist: true })).close()
  return eachAccount(context, { isHeaded: !flags.json }, (one) => planOne(one, flags))
}

async function planOne(context: CommandContext, { json }: { readonly json: boolean }): Promise<number> {
  const { config, account, configured, readers, stdout } = context
  const { answer, event } = await askOnce(context)
  const now = new Date()
  const { total, limit } = answer.pagination
  const { openPages, progress, stored, unread, unknownWhy } = await readTable(context, limit)
  const budget = toStartingBudget(event.rateLimit, config.rateLimit)
  const requestMs = Math.ceil(event.durationMs)
  const cost = (reading: Reading) => ({ ...reading, ...costOf(reading, budget, requestMs) })
  const recent = { openPages, pagesPerRun: config.pagesPerRun, budget }
  const incremental = cost(incrementalRun(total, limit, { ...recent, isSweepDue: false }))
  const ofResults = {
    ...{ perRun: config.resultsPerRun, listRequests: incremental.requests, budget, latencyMs: requestMs },
    intervalMs: intervalMsOf(config),
    ...{ accounts: Math.max(1, configured.length), readers },
  }

  // Without a schedule nobody knows when the next run comes.
  const untimed = config.schedule.sync === null ? { durationMs: null } : {}

  const report: PlanReport = {
    account,
    now,
    total,
    limit,
    fault: answer.fault,
    budget,
    source: event.rateLimit === null ? 'configured' : 'reported',
    requestMs,
    openPages: unknownWhy === null ? openPages : null,
    unknownWhy,
    progress,
    rest: progress && cost(fullPass(Math.max(0, total - progress.doneJobs), limit, openPages)),
    full: cost(fullPass(total, limit, openPages)),
    incremental,
    withSweep: cost(incrementalRun(total, limit, { ...recent, isSweepDue: true })),
    // Jobs that are not stored yet may have ended too.
    ...(config.results === null
      ? {}
      : {
          results: {
            mode: config.results,
            ...resultsCost(unread + Math.max(0, total - stored), ofResults),
            ...untimed,
          },
        }),
  }
  stdout.write(json ? `${JSON.stringify(report)}\n` : toPlanText(report))
  return EXIT_CODES.complete
}

/** Requests page 1 once, without a retry. */
async function askOnce({ config, signal }: CommandContext): Promise<{ answer: ListAnswer; event: RequestEvent }> {
  const events: RequestEvent[] = []
  const client = createSpidraClient({
    ...config.spidra,
    timing: config.timing,
    requestRetries: 0,
    proxy: config.proxy,
    onRequest: (event) => events.push(event),
  })
  try {
    const answer = await client.listPage({
      page: 1,
      limit: PAGE_LIMIT,
      signal,
      // A server may return smaller pages than requested; the limit of its answer counts.
      faultOf: (given) => faultOf(given, { page: 1, limit: given.pagination.limit }),
    })
    const [event] = events
    if (event === undefined) throw new Error('the client reported no request')
    return { answer, event }
  } finally {
    await client.close()
  }
}

/** What the table says of the account. */
interface TableFacts {
  /** Pages below the first on which it has open jobs. */
  readonly openPages: number
  readonly progress: LoadProgress | null
  /** Listed jobs that it has, and those of them whose items are to be read. Counted only where results are on. */
  readonly stored: number
  readonly unread: number
  /** Why nothing could be read, in a sentence; null: it could. */
  readonly unknownWhy: string | null
}

const NOTHING_READ = { openPages: 0, progress: null, stored: 0, unread: 0 }

async function readTable(context: CommandContext, limit: number): Promise<TableFacts> {
  if (!(await hasDatabase(context))) {
    const unknownWhy = 'DATABASE_URL is not set and there is no embedded Postgres yet, so there is no table to read.'
    return { ...NOTHING_READ, unknownWhy }
  }
  const { config, account } = context
  const { db, databaseUrl, close } = await openConfiguredDatabase(config, { ...context, mustExist: true })
  try {
    const openPages = await countOpenPages(db, account, limit)
    const options = { account, now: await readDatabaseTime(db), rateLimit: config.rateLimit }
    const progress = await readLoadProgress(db, options)
    const counts = config.results === null ? NOTHING_READ : await countUnread(db, account, config.results)
    return { ...counts, openPages, progress, unknownWhy: null }
  } catch (error) {
    const failure = toDatabaseError(error, databaseUrl)
    if (failure === null) throw error
    return { ...NOTHING_READ, unknownWhy: failure.message }
  } finally {
    await close()
  }
}

/** The answer of the API, and what follows from it. */
interface PlanReport {
  readonly account: string
  readonly now: Date
  /** Number of listed jobs. */
  readonly total: number
  /** Jobs on a page. */
  readonly limit: number
  /** What is wrong with the answer; null when nothing is. */
  readonly fault: string | null
  /** Null when no limit is known. */
  readonly budget: StartingBudget | null
  /** Where the budget comes from: the API or the configuration. */
  readonly source: 'reported' | 'configured'
  readonly requestMs: number
  /** Pages below the first with open jobs; null when that is unknown. */
  readonly openPages: number | null
  /** Why it is unknown, in a sentence. */
  readonly unknownWhy: string | null
  /** Of an unfinished first load or full pass, and what the rest of it would cost. */
  readonly progress: LoadProgress | null
  readonly rest: (Reading & Cost) | null
  readonly full: Reading & Cost
  readonly incremental: Reading & Cost
  /** The first incremental run of an hour. */
  readonly withSweep: Reading & Cost
  /** Reading the items of all jobs that have ended; absent where SYNC_RESULTS is off. */
  readonly results?: ResultsCost & { readonly mode: string }
}

/** Formats the plan for a terminal of 80 columns. */
function toPlanText(report: PlanReport): string {
  const { account, total, limit, full, fault } = report
  const pages = `${counted(full.pages, 'page')} of ${limit}`
  const found = [
    `Account ${account} lists ${counted(total, 'job')} on ${pages}.`,
    ...(fault === null ? [] : [`The answer proves nothing (${fault}): the figures may be wrong.`]),
    ...toRestText(report),
    toBudgetText(report),
  ]
  const remarks = [
    ...toOpenText(report),
    ...toResultsText(report),
    `Finished: if started now, at ${report.requestMs} ms a request.`,
  ]
  const blocks = [found.map(wrapSentence), toTable(report), remarks.map(wrapSentence)]
  return blocks.map((lines) => lines.map((line) => `${line}\n`).join('')).join('\n')
}

function toRestText({ progress, rest, total }: PlanReport): string[] {
  if (progress === null || rest === null) return []
  const left = counted(Math.max(0, total - progress.doneJobs), 'job')
  const windows = rest.windows === null ? '' : ` in ${counted(rest.windows, 'window')}`
  return [
    toLoadSentence(progress),
    `Left of it: ${left} on ${counted(rest.pages, 'page')}, ${counted(rest.requests, 'request')}${windows}.`,
  ]
}

function toBudgetText({ budget, source, now }: PlanReport): string {
  if (budget === null) return 'Budget: no limit (the API reports none, and RATE_LIMIT_REQUESTS=off).'
  const { limit, remaining, resetInMs, windowMs, reserve } = budget
  const window = `Budget: ${counted(limit, 'request')} every ${formatDuration(windowMs / 1000)}`
  const share = `spidra-sync leaves ${toShare(reserve)} of them to others (RATE_LIMIT_RESERVE).`
  if (source === 'configured') return `${window}, as configured: the API reports none; ${share}`
  return `${window}; ${formatNumber(remaining)} are left until ${toInstant(now, resetInMs)} UTC; ${share}`
}

function toOpenText({ openPages, unknownWhy }: PlanReport): string[] {
  if (openPages !== null) return [`Open jobs below page 1: on ${counted(openPages, 'page')}.`]
  const notIncluded = 'Open jobs below page 1 are not included; each page with such jobs costs one more request.'
  return [notIncluded, ...(unknownWhy === null ? [] : [unknownWhy])]
}

function toResultsText({ results, now }: PlanReport): string[] {
  if (results === undefined) return []
  const { mode, requests, perRun, durationMs } = results
  const subject = `Results (SYNC_RESULTS=${mode})`
  if (requests === 0) return [`${subject}: no ended job is to be read.`]
  const number = `${subject}: up to ${counted(requests, 'request')}, one for each ended job that is to be read`
  if (perRun === 0) return [`${number}. The list needs over half of the budget, so when they are read is not known.`]
  const pace = `at most ${counted(perRun < 1 ? 1 : Math.floor(perRun), 'request')} a run`
  return [`${number}; ${pace}${durationMs === null ? '' : `, the last at ${toInstant(now, durationMs)} UTC`}.`]
}

function toTable({ full, incremental, withSweep, now }: PlanReport): string[] {
  const costs = [full, incremental, withSweep]
  const row = (name: string, cell: (cost: Reading & Cost) => string) => [name, ...costs.map(cell)]
  const rows = [
    ['', 'Full pass', 'Incremental', 'and hourly sweep'],
    row('Pages', ({ pages }) => formatNumber(pages)),
    row('Requests', ({ requests }) => formatNumber(requests)),
    row('Share of a window', ({ shareOfWindow }) => (shareOfWindow === null ? '-' : toShare(shareOfWindow))),
    row('Windows', ({ windows }) => (windows === null ? '-' : formatNumber(windows))),
    row('Finished (UTC)', ({ durationMs }) => toInstant(now, durationMs)),
  ]
  return rows.map(([name = '', ...cells]) => name.padEnd(17) + cells.map((cell) => cell.padStart(21)).join(''))
}

function toInstant(now: Date, laterMs: number): string {
  const instant = new Date(now.getTime() + laterMs)
  // With a very long list the date can be out of range.
  return Number.isNaN(instant.getTime()) ? '-' : instant.toISOString().slice(0, 19).replace('T', ' ')
}

/** 0.3 %, 45 %, 13.6 times: more than one whole is no percentage. */
function toShare(share: number): string {
  if (share > 1) return `${formatNumber(share < 100 ? Math.round(share * 10) / 10 : Math.round(share))} times`
  if (share > 0 && share < 0.001) return '< 0.1 %'
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0).replace(/\.0$/, '')} %`
}
