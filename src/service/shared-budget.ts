import type { Config } from '../config/config.js'
import type { ReportedBudget } from '../db/sync-state.js'
import type { RateLimit } from '../spidra/rate-limit-headers.js'
import { type BudgetWait, createRequestBudget, type RequestBudget } from '../spidra/request-budget.js'

/** The request budget of this process: it outlives a run, and tells its waits to the runs under way. */
export interface SharedBudget {
  readonly budget: RequestBudget
  /** From now on this one too hears of every wait, whoever waits, until the function returned is called. */
  listen(onWait: (wait: BudgetWait) => void): () => void
}

/** Creates the budget from the configuration. */
export function createSharedBudget({ rateLimit, timing }: Pick<Config, 'rateLimit' | 'timing'>): SharedBudget {
  const listeners = new Set<(wait: BudgetWait) => void>()
  const { requests, windowSeconds, reserve } = rateLimit
  return {
    budget: createRequestBudget({
      requests,
      windowMs: windowSeconds * 1000,
      reserve,
      timing,
      onWait(wait) {
        for (const listener of listeners) listener(wait)
      },
    }),
    listen(onWait) {
      // A function of its own, so that one that listens twice is told twice and can stop once.
      const listener = (wait: BudgetWait) => onWait(wait)
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

/** Converts a budget for storing: other processes need the time of its reset, not the duration until then. */
export function toReportedBudget(rateLimit: RateLimit | null): ReportedBudget | null {
  if (rateLimit === null) return null
  const { limit, remaining, resetInMs } = rateLimit
  return { limit, remaining, resetAt: resetInMs === null ? null : new Date(Date.now() + resetInMs) }
}
