import type { Account } from '../../src/simulator/account.js'
import type { Dice } from './dice.js'

/** Short enough that several changes fall into most runs. */
const LONGEST_PAUSE_MS = 600

const TOTAL_URLS = 8

/** A list that jobs come to and go from, and whose jobs progress, finish and are retried, until it is stopped. */
export interface Churn extends Disposable {
  /** What the account lists at this moment. Every change makes a new set, so one that is kept does not change. */
  readonly listed: ReadonlySet<string>
  /** What was done so far. */
  readonly counts: Readonly<Record<'arrived' | 'progressed' | 'reopened' | 'removed', number>>
  /** Whether jobs go. To begin with they do. */
  mayRemove(may: boolean): void
  stop(): void
}

/**
 * Changes the account every now and then. It is the only one to do so: the account itself lets nothing come or go, so
 * what is listed is known at every moment. The list stays about as long as it was, and no job that went comes back,
 * because assumption A1 leaves those to a whole pass.
 */
export function startChurn(account: Account, dice: Dice): Churn {
  const usualSize = account.total
  const counts = { arrived: 0, progressed: 0, reopened: 0, removed: 0 }
  const open: string[] = []
  let listed: ReadonlySet<string> = new Set(account.allUuids())
  let isRemoving = true
  let timer: NodeJS.Timeout

  function arrive(): void {
    // At times with the createdAt of the head: a tie grows at the head too.
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
