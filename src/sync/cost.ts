import type { Config } from '../config/config.js'
import { SYNC_SIZES } from '../config/scale.js'
import { shareOf } from '../spidra/budget-rules.js'
import { openAllowance } from './open-jobs.js'

/** The request budget that a run begins with. */
export interface StartingBudget {
  /** Requests of a window, of everyone at the address. */
  readonly limit: number
  /** Of these, what is left of the window under way. */
  readonly remaining: number
  /** Until the window under way ends, in milliseconds. */
  readonly resetInMs: number
  readonly windowMs: number
  /** Share of a window that is left to others. */
  readonly reserve: number
}

/**
 * The budget that the API reported, or, where it reports none, a whole window of the configured one. Null: there is no limit.
 *
 * @param reported `resetInMs` null: the API does not report the end of the window.
 */
export function toStartingBudget(
  reported: { readonly limit: number; readonly remaining: number; readonly resetInMs: number | null } | null,
  { requests, windowSeconds, reserve }: Config['rateLimit'],
): StartingBudget | null {
  const configuredMs = windowSeconds * 1000
  const limit = reported?.limit ?? requests
  if (limit === null) return null
  const { remaining = limit } = reported ?? {}
  const resetInMs = reported?.resetInMs ?? configuredMs
  // The API does not report the length of a window, which is at least the rest of it.
  return { limit, remaining, resetInMs, windowMs: Math.max(configuredMs, resetInMs), reserve }
}

/** The same budget, if all requests that the window under way has had so far were ours. */
export function withoutOwnShare(budget: StartingBudget | null): StartingBudget | null {
  if (budget === null) return null
  const { limit, remaining, reserve } = budget
  return { ...budget, remaining: Math.max(0, remaining - (limit - shareOf(limit, reserve))) }
}

/** What a run reads and sends. */
export interface Reading {
  /** Pages of the list that it shows. */
  readonly pages: number
  readonly requests: number
  /** What it sends again after every wait for the budget. */
  readonly againAfterWait: number
}

/** What that costs. */
export interface Cost {
  /** Those sent again after waits among them. */
  readonly requests: number
  /** Requests as a share of a whole window; null without a limit. */
  readonly shareOfWindow: number | null
  /** Windows that it draws on; null without a limit. */
  readonly windows: number | null
  /** From now to the last answer. */
  readonly durationMs: number
}

/**
 * A full pass reads each page, and page 1 again at the end for the verdict. For a list of at most one page, one request does both.
 *
 * After every wait it asks for the head, for the pages with open jobs, and for the page of its position.
 *
 * @param openPages pages below the first that hold open jobs.
 */
export function fullPass(total: number, limit: number, openPages: number): Reading {
  const pages = Math.ceil(total / limit)
  return { pages, requests: pages > 1 ? pages + 1 : 1, againAfterWait: pages > 1 ? 2 + openPages : 0 }
}

/**
 * An incremental run reads the head, the pages with open jobs as far as their allowance goes, and, when it is due, a
 * slice of the sweep with what is left of the whole allowance, but not past the end of the list. It waits for the head
 * only: open jobs and slice take no more than the window under way still has. An account of a few pages is read whole.
 *
 * That is the cost of a list in balance, whose open jobs stand where the table says; the search for removed jobs and
 * stepping to a job that has moved come on top.
 */
export function incrementalRun(
  total: number,
  limit: number,
  options: {
    readonly openPages: number
    readonly pagesPerRun: number
    readonly isSweepDue: boolean
    /** Null: no limit. */
    readonly budget: StartingBudget | null
  },
): Reading {
  const { openPages, pagesPerRun, isSweepDue, budget } = options
  const whole = fullPass(total, limit, openPages)
  if (whole.pages <= SYNC_SIZES.smallPages) return whole
  const available = budget === null ? Number.POSITIVE_INFINITY : Math.max(0, availableNow(budget) - 1)
  const open = Math.min(openPages, openAllowance(pagesPerRun), available)
  const slice = isSweepDue ? Math.min(pagesPerRun - open, whole.pages - 1, available - open) : 0
  const requests = 1 + open + slice
  return { pages: requests, requests, againAfterWait: 0 }
}

/**
 * Requests of the window under way that a run may have: what remains, but no more than our share, as the budget gives it
 * out. In a new process none of what was used counts as ours.
 */
function availableNow({ limit, remaining, reserve }: StartingBudget): number {
  return Math.min(remaining, shareOf(limit, reserve))
}

/**
 * What a reading costs, one request at a time, if no other client uses the budget from now on.
 *
 * Each window after the one under way gives a share, less what is sent again after the wait. A window that is used up
 * before it ends is waited out; it begins with its first request and lasts `windowMs`, or as long as its requests take.
 * In the last one only the time of its requests counts.
 */
export function costOf(reading: Reading, budget: StartingBudget | null, latencyMs: number): Cost {
  const { requests, againAfterWait } = reading
  if (budget === null) return { requests, shareOfWindow: null, windows: null, durationMs: requests * latencyMs }

  const { limit, resetInMs, windowMs, reserve } = budget
  const share = shareOf(limit, reserve)
  const first = Math.min(requests, availableNow(budget))
  const left = requests - first
  const perWindow = Math.max(1, share - againAfterWait)
  const waits = Math.ceil(left / perWindow)
  const sent = requests + waits * againAfterWait
  const lastWindow = againAfterWait + left - (waits - 1) * perWindow
  const durationMs =
    waits === 0
      ? requests * latencyMs
      : Math.max(resetInMs, first * latencyMs) +
        (waits - 1) * Math.max(windowMs, share * latencyMs) +
        lastWindow * latencyMs
  return { requests: sent, shareOfWindow: sent / limit, windows: waits + (first > 0 ? 1 : 0), durationMs }
}

/** Share of our requests of a window that the items of batches leave to the list. */
export const LIST_SHARE = 0.5

/** What decides how fast the items of batches are read. */
export interface ResultsFacts {
  /** `RESULTS_PER_RUN`. */
  readonly perRun: number
  /** Time between the starts of two runs. */
  readonly intervalMs: number
  /** Requests of a run for the list. */
  readonly listRequests: number
  /** Null: no limit. */
  readonly budget: Pick<StartingBudget, 'limit' | 'reserve' | 'windowMs'> | null
  readonly latencyMs: number
  /** Accounts that share the budget, this one included. Default 1. */
  readonly accounts?: number
  /** Those of them with batches to read. Default 1. */
  readonly readers?: number
}

/** What it costs to read the items of batches. */
export interface ResultsCost {
  /** One for each batch. */
  readonly requests: number
  /** Batches that a run reads, on average; 0: the list needs over half of the budget. */
  readonly perRun: number
  /** From the start of the first of these runs to the last answer; null: never, at this pace. */
  readonly durationMs: number | null
}

/**
 * Computes how long it takes to read the items of these batches, if no other client uses the budget and nothing fails. A run reads
 * `perRun` batches at most, for half of the time between two runs at most, and the runs of a window together no more than the part
 * of our share that is not the list's, less the requests that were made for the list.
 */
export function resultsCost(batches: number, facts: ResultsFacts): ResultsCost {
  const { intervalMs, listRequests, budget, latencyMs, accounts = 1, readers = 1 } = facts
  const inTime = Math.max(1, Math.floor(intervalMs / 2 / Math.max(1, latencyMs)) - listRequests)
  const inBudget = budget === null ? Number.POSITIVE_INFINITY : perRunOf(budget)
  const perRun = Math.max(0, Math.min(facts.perRun, inTime, inBudget))
  if (batches === 0) return { requests: 0, perRun, durationMs: 0 }
  if (perRun === 0) return { requests: batches, perRun, durationMs: null }
  const runs = Math.ceil(batches / perRun)
  const inLastRun = listRequests + batches - (runs - 1) * perRun
  return { requests: batches, perRun, durationMs: (runs - 1) * intervalMs + inLastRun * latencyMs }

  function perRunOf({ limit, reserve, windowMs }: NonNullable<ResultsFacts['budget']>): number {
    const share = shareOf(limit, reserve)
    const runsOfWindow = Math.max(1, windowMs / intervalMs)
    const ofWindow = share - Math.floor(share * LIST_SHARE)
    return (ofWindow / runsOfWindow - accounts * listRequests) / readers
  }
}
