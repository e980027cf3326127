import type { Logger } from '../logging/logger.js'

export interface BudgetPauseOptions {
  /** Hears of the beginning and of the end. */
  readonly onPause: (isPaused: boolean) => void
  readonly log: Logger
}

/**
 * Makes what is told, at every look, how long until the budget has room for one more run, and tells the beginning and the
 * end of a pause once each. Else a worker that waits for its budget could not be told from one that has nothing to do.
 */
export function watchBudgetPause({ onPause, log }: BudgetPauseOptions): (ms: number) => void {
  let isPaused = false
  return (ms) => {
    if (isPaused === ms > 0) return
    isPaused = ms > 0
    const resumesAt = new Date(Date.now() + ms)
    if (isPaused) log.info({ resumesAt }, 'takes no runs: request budget spent')
    else log.debug('takes runs again')
    onPause(isPaused)
  }
}
