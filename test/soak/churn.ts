import type { Account } from '../../src/simulator/account.js'
import type { Dice } from './dice.js'

/** Longest pause between two changes in milliseconds: short enough for several changes in most runs. */
const LONGEST_PAUSE_MS = 600

const TOTAL_URLS = 8

/** Changes the list until it is stopped: jobs arrive, progress, finish, are retried and are removed. */
export interface Churn extends Disposable {
  /** The uuids listed now. Every change makes a new set, so a set that was read before does not change. */
  readonly listed: ReadonlySet<string>
  /** The changes so far. */
  readonly counts: Readonly<Record<'arrived' | 'progressed' | 'reopened' | 'removed', number>>
  /** Sets whether jobs are removed. Default true. */
  mayRemove(may: boolean): void
  stop(): void
}

/**
 * Starts to change the account at random times. Nothing else changes it, so the listed jobs are known at every moment.
 * The list keeps about its length. No removed job is listed again: by assumption A1 only a whole pass must find those.
 */
export function startChurn(account: Account, dice: Dice): Churn {
  const usualSize = account.total
  const counts = { arrived: 0, progressed: 0, reopened: 0, removed: 0 }
  const open: string[] = []
  let listed: ReadonlySet<string> = new Set(account.allUuids())
  let isRemoving = true
  let timer: NodeJS.Timeout

  function arrive(): void {
    // Sometimes with the createdAt of the newest job, so that there are ties at the head.
    const [head] = account.list({ page: 1, limit: 1 }).jobs
    const tie = head !== undefined && dice.share() < 0.2 ? { createdAt: head.createdAt } : {}
    const fresh = { status: 'pending', totalUrls: TOTAL_URLS, completedCount: 0, failedCount: 0, finishedAt: null }
    const { uuid } = account.addJob({ ...fresh, ...tie })
    open.push(uuid)
    listed = new Set(listed).add(uuid)
    counts.arrived += 1
  }

  function progress(): void {
    const uuid = open[dice.below(open.length)]
    const job = uuid === undefined ? undefined : account.job(uuid)
    if (uuid === undefined || job === undefined) return void arrive()
    const failed = dice.share() < 0.2 ? 1 : 0
    const completedCount = job.completedCount + 1 - failed
    const failedCount = job.failedCount + failed
    const isOver = completedCount + failedCount >= TOTAL_URLS || dice.share() < 0.2
    if (isOver) open.splice(open.indexOf(uuid), 1)
    account.updateJob(uuid, {
      ...{ status: isOver ? 'completed' : 'running', completedCount, failedCount },
      finishedAt: isOver ? new Date().toISOString() : null,
    })
    counts.progressed += 1
  }

  function reopen(): void {
    const uuid = anyListed()
    if (uuid === undefined || open.includes(uuid)) return
    account.updateJob(uuid, {
      status: 'running',
      totalUrls: TOTAL_URLS,
      completedCount: 0,
      failedCount: 0,
      finishedAt: null,
    })
    open.push(uuid)
    counts.reopened += 1
  }

  function remove(): void {
    const uuid = anyListed()
    if (uuid === undefined) return
    account.removeJob(uuid)
    if (open.includes(uuid)) open.splice(open.indexOf(uuid), 1)
    const rest = new Set(listed)
    rest.delete(uuid)
    listed = rest
    counts.removed += 1
  }

  function anyListed(): string | undefined {
    return [...listed][dice.below(listed.size)]
  }

  function change(): void {
    const what = dice.share()
    if (what < 0.4) progress()
    else if (what < 0.5) reopen()
    else if (isRemoving && listed.size >= usualSize) remove()
    else if (!isRemoving || listed.size < usualSize || what < 0.7) arrive()
    schedule()
  }

  function schedule(): void {
    timer = setTimeout(change, dice.below(LONGEST_PAUSE_MS))
  }

  const stop = () => clearTimeout(timer)
  schedule()
  return {
    get listed() {
      return listed
    },
    counts,
    mayRemove(may) {
      isRemoving = may
    },
    stop,
    [Symbol.dispose]: stop,
  }
}
