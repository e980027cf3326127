import type { Account } from '../../src/simulator/account.js'
import type { TestDatabase } from './test-database.js'

/** The state of a job as far as change events report it. */
export interface JobState {
  readonly status: string
  readonly completed: number
  readonly failed: number
  readonly isRemoved: boolean
}

interface EventRow {
  readonly uuid: string
  readonly kind: string
  readonly from: string
  readonly to: string
}

const toText = ({ status, completed, failed }: Omit<JobState, 'isRemoved'>) => `${status} ${completed}/${failed}`

/**
 * Records how every job was first listed, and checks the change events against that. The list may change between two
 * checks, and not during one.
 */
export function createEventHistory(account: Account) {
  /** Each job as of the last check, or as first listed. */
  const known = new Map<string, JobState>()
  let lastEvent = 0n

  /** Every job as it is listed now. */
  function listed(): Map<string, JobState> {
    const { jobs } = account.list({ page: 1, limit: account.total })
    return new Map(
      jobs.map(({ uuid, status, completedCount: completed, failedCount: failed }) => [
        uuid,
        { status, completed, failed, isRemoved: false },
      ]),
    )
  }

  /**
   * Replays the events since the last check, job by job, and names those that are missing, duplicate or wrong. Each
   * must start from the state before it and end in the listed state, and there must be one for each change.
   */
  async function check(database: TestDatabase): Promise<readonly string[]> {
    const now = listed()
    const faults: string[] = []
    const changed = new Set<string>()
    for (const [uuid, state] of now) {
      const before = known.get(uuid)
      if (before === undefined) known.set(uuid, state)
      else if (toText(before) !== toText(state) || before.isRemoved) changed.add(uuid)
    }
    for (const [uuid, { isRemoved }] of known) if (!isRemoved && !now.has(uuid)) changed.add(uuid)

    const reported = new Set<string>()
    for (const event of await readEvents(database)) {
      const before = known.get(event.uuid)
      if (reported.has(event.uuid)) faults.push(`${event.uuid}: a second event, ${event.kind}, for one change`)
      reported.add(event.uuid)
      if (before === undefined || toText(before) !== event.from) {
        faults.push(`${event.uuid}: ${event.kind} from ${event.from}, but it was ${before && toText(before)}`)
      }
      if (!changed.has(event.uuid)) faults.push(`${event.uuid}: ${event.kind}, but nothing has changed`)
      const state = now.get(event.uuid)
      if ((state === undefined) !== (event.kind === 'removed')) faults.push(`${event.uuid}: ${event.kind} is wrong`)
      if (state !== undefined && toText(state) !== event.to) {
        faults.push(`${event.uuid}: ${event.kind} to ${event.to}, but it is ${toText(state)}`)
      }
    }
    for (const uuid of changed) if (!reported.has(uuid)) faults.push(`${uuid}: changed without an event`)
    for (const uuid of known.keys()) {
      const last = known.get(uuid)
      const state = now.get(uuid) ?? (last && { ...last, isRemoved: true })
      if (state !== undefined) known.set(uuid, state)
    }
    return faults
  }

  async function readEvents({ sql }: TestDatabase): Promise<readonly EventRow[]> {
    const rows = await sql<EventRow & { number: string }>(
      `SELECT id::text AS number, uuid::text, kind, format('%s %s/%s', from_status, from_completed_count, from_failed_count) AS from,
         format('%s %s/%s', to_status, to_completed_count, to_failed_count) AS to
       FROM spidra.batch_job_events WHERE id > $1 ORDER BY id`,
      [lastEvent],
    )
    lastEvent = BigInt(rows.at(-1)?.number ?? lastEvent)
    return rows
  }

  return { check }
}
