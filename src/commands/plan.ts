import { PAGE_LIMIT } from '../config/scale.js'
import { listOpenJobs } from '../db/batch-jobs-read.js'
import { openDatabase } from '../db/client.js'
import { toDatabaseError } from '../db/connection-error.js'
import { eachAccount } from '../service/accounts.js'
import { type CommandContext, EXIT_CODES, unknownAccount } from '../service/context.js'
import { mustLookUpName, openDatabaseForAccounts } from '../service/database.js'
import { createSpidraClient, type ListAnswer, type RequestEvent } from '../spidra/client.js'
import { costOf, fullPass, incrementalRun, type Reading, type StartingBudget } from '../sync/cost.js'
import { faultOf } from '../sync/page.js'
import { type PlanReport, toPlanText } from './plan-text.js'

/**
 * `spidra-sync plan`: what a full pass and an incremental run cost, from one request an account. Writes nothing to the database,
 * and starts none. Returns the exit code.
 *
 * @throws SpidraError when no usable answer came for the only account.
 */
export async function runPlanCommand(context: CommandContext<string | null>): Promise<number> {
  if (mustLookUpName(context)) {
    if (context.config.databaseUrl === null) throw unknownAccount(context.account, context.configured)
    await (await openDatabaseForAccounts(context)).close()
  }
  return eachAccount(context, { isHeaded: true }, planOne)
}

async function planOne(context: CommandContext): Promise<number> {
  const { config, account, stdout } = context
  const { answer, event } = await askOnce(context)
  const now = new Date()
  const { total, limit } = answer.pagination
  const { openPages, unknownWhy } = await readOpenPages(context, limit)
  const { budget, source } = startingBudget(config.rateLimit, event)
  const cost = (reading: Reading) => ({ ...reading, ...costOf(reading, budget, event.durationMs) })
  const recent = { openPages, pagesPerRun: config.pagesPerRun, budget }

  const report: PlanReport = {
    account,
    now,
    total,
    limit,
    fault: answer.fault,
    budget,
    source,
    requestMs: event.durationMs,
    openPages: unknownWhy === null ? openPages : null,
    unknownWhy,
    full: cost(fullPass(total, limit, openPages)),
    incremental: cost(incrementalRun(total, limit, { ...recent, isSweepDue: false })),
    withSweep: cost(incrementalRun(total, limit, { ...recent, isSweepDue: true })),
  }
  stdout.write(toPlanText(report))
  return EXIT_CODES.complete
}

/** Asks for page 1, without a second attempt. */
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
      // A server that gives smaller pages is taken at its word.
      faultOf: (given) => faultOf(given, { page: 1, limit: given.pagination.limit }),
    })
    const [event] = events
    if (event === undefined) throw new Error('the client told of no request')
    return { answer, event }
  } finally {
    await client.close()
  }
}

function startingBudget(
  { requests, windowSeconds, reserve }: CommandContext['config']['rateLimit'],
  { rateLimit }: RequestEvent,
): Pick<PlanReport, 'budget' | 'source'> {
  const configuredMs = windowSeconds * 1000
  if (rateLimit !== null) {
    const { limit, remaining } = rateLimit
    const resetInMs = rateLimit.resetInMs ?? configuredMs
    // The length of a window is not told, but it is no shorter than what is left of it.
    const windowMs = Math.max(configuredMs, resetInMs)
    return { budget: { limit, remaining, resetInMs, windowMs, reserve }, source: 'told' }
  }
  if (requests === null) return { budget: null, source: 'configured' }
  const budget: StartingBudget = {
    limit: requests,
    remaining: requests,
    resetInMs: configuredMs,
    windowMs: configuredMs,
    reserve,
  }
  return { budget, source: 'configured' }
}

/** On how many pages below the first there are open jobs, as far as the table knows. */
async function readOpenPages(
  { config: { databaseUrl }, account }: CommandContext,
  limit: number,
): Promise<{ readonly openPages: number; readonly unknownWhy: string | null }> {
  if (databaseUrl === null) return { openPages: 0, unknownWhy: 'DATABASE_URL is not set: no table to ask.' }
  const db = openDatabase(databaseUrl)
  try {
    const jobs = await listOpenJobs(db, account)
    const pages = new Set(jobs.map(({ rank }) => Math.floor(rank / limit)).filter((page) => page > 0))
    return { openPages: pages.size, unknownWhy: null }
  } catch (error) {
    const failure = toDatabaseError(error, databaseUrl)
    if (failure === null) throw error
    return { openPages: 0, unknownWhy: failure.message }
  } finally {
    await db.$disconnect()
  }
}
