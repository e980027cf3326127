import type { Config } from '../config.js'
import { type BudgetWait, createRequestBudget, type RequestBudget } from '../spidra/request-budget.js'

/** The request budget of this process: it outlives a run, and tells its waits to the run under way. */
export interface SharedBudget {
  readonly budget: RequestBudget
  /** From now on this one hears of waits. */
  listen(onWait: (wait: BudgetWait) => void): void
}

/** Creates the budget from the configuration. */
export function createSharedBudget({ rateLimit }: Pick<Config, 'rateLimit'>): SharedBudget {
  let listener: (wait: BudgetWait) => void = () => {}
  const { requests, windowSeconds, reserve } = rateLimit
  return {
    budget: createRequestBudget({
      requests,
      windowMs: windowSeconds * 1000,
      reserve,
      onWait: (wait) => listener(wait),
    }),
    listen(onWait) {
      listener = onWait
    },
  }
}
