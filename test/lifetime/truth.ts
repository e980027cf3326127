import { setImmediate as breathe } from 'node:timers/promises'
import type { Account } from '../../src/simulator/account.js'
import { LONGEST_LIFE_MS } from '../../src/simulator/life.js'
import { firstWhere } from '../../src/simulator/list-order.js'
import type { Dice } from '../soak/dice.js'

/** The clocks of database and simulator agree to this, in milliseconds. */
const BLUR_MS = 100

/** The simulator shares the thread: no more entries are compared in one go. */
const SLICE = 2_000

interface Entry {
  /** Epoch ms from which it was listed. */
  readonly since: number
  /** Epoch ms at which it was removed; null: it is listed. */
  removedAt: number | null
}

/** A row of `spidra.batch_jobs`, as far as it is compared. */
export interface StoredRow {
  readonly uuid: string
  readonly status: string
  readonly completed: number
  readonly failed: number
  /** Epoch ms. */
  readonly finishedAt: number | null
}

/** What the simulated account lists and has listed, with times. Only `removeOne` takes jobs away. */
export interface Truth {
  /** Removes one job, anywhere in the list. */
  removeOne(): void
  /** How many jobs were removed since an instant, epoch ms. */
  removalsSince(instant: number): number
  /** What is wrong with the set of stored jobs if the table is complete as of an instant, epoch ms: uuids with words. */
  wrongSet(stored: readonly string[], asOf: number): Promise<readonly string[]>
  /** Rows that differ from the list though their job reached its final state before the instant, epoch ms. */
  wrongRows(rows: readonly StoredRow[], before: number): Promise<readonly string[]>
}

export function createTruth(account: Account, dice: Dice, speed: number): Truth {
  const entries = new Map<string, Entry>([...account.allUuids()].map((uuid) => [uuid, { since: 0, removedAt: null }]))
  const uuids = [...entries.keys()]
  /** Epoch ms. */
  const removals: number[] = []

  /** Newcomers cannot be removed before they are noted, so they are the first of the list. */
  function noteNewcomers(): void {
    let arrived = account.total + removals.length - entries.size
    while (arrived > 0) {
      // More may have come since the total was read.
      for (const { uuid, createdAt } of account.list({ page: 1, limit: arrived + 50 }).jobs) {
        if (entries.has(uuid)) continue
        entries.set(uuid, { since: Date.parse(createdAt) + 1, removedAt: null })
        uuids.push(uuid)
      }
      arrived = account.total + removals.length - entries.size
    }
  }

  function removeOne(): void {
    noteNewcomers()
    const at = dice.below(uuids.length)
    const uuid = uuids[at]
    const last = uuids.pop()
    if (uuid === undefined || last === undefined) return
    if (uuid !== last) uuids[at] = last
    const entry = entries.get(uuid)
    if (entry === undefined) return
    entry.removedAt = Date.now()
    account.removeJob(uuid)
    removals.push(entry.removedAt)
  }

  async function wrongSet(stored: readonly string[], asOf: number): Promise<readonly string[]> {
    noteNewcomers()
    const wrong: string[] = []
    const live = new Set(stored)
    for (const [index, uuid] of stored.entries()) {
      if (index % SLICE === 0) await breathe()
      const entry = entries.get(uuid)
      if (entry === undefined) wrong.push(`${uuid} is stored and was never listed`)
      else if (entry.removedAt !== null && entry.removedAt < asOf - BLUR_MS) {
        wrong.push(`${uuid} is stored and left the list ${Math.round(asOf - entry.removedAt)} ms before`)
      }
    }
    let index = 0
    for (const [uuid, { since, removedAt }] of entries) {
      if (++index % SLICE === 0) await breathe()
      if (removedAt === null && since <= asOf - BLUR_MS && !live.has(uuid)) {
        wrong.push(`${uuid} is not stored and has been listed since ${Math.round(asOf - since)} ms before`)
      }
    }
    return wrong
  }

  async function wrongRows(rows: readonly StoredRow[], before: number): Promise<readonly string[]> {
    const wrong: string[] = []
    for (const [index, row] of rows.entries()) {
      if (index % SLICE === 0) await breathe()
      const job = account.job(row.uuid)
      if (job === undefined || Date.parse(job.createdAt) + LONGEST_LIFE_MS / speed > before - BLUR_MS) continue
      const finishedAt = job.finishedAt === null ? null : Date.parse(job.finishedAt)
      const listed = [job.status, job.completedCount, job.failedCount, finishedAt].join()
      const stored = [row.status, row.completed, row.failed, row.finishedAt].join()
      if (listed !== stored) wrong.push(`${row.uuid} is stored as ${stored} and listed as ${listed}`)
    }
    return wrong
  }

  return {
    removeOne,
    removalsSince: (instant) => removals.length - firstWhere(removals.length, (at) => (removals[at] ?? 0) >= instant),
    wrongSet,
    wrongRows,
  }
}
