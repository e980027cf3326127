import type { AnsweredRequest, Simulator } from '../../src/simulator/server.js'
import type { TestDatabase } from '../support/test-database.js'
import { RUN_COLUMNS } from './runs.js'

/** How a run may fail when the API fails. Anything else, `internal` above all, is a fault of ours. */
const API_ERRORS = new Set(['payment_required', 'rate_limited', 'server_error', 'bad_payload', 'timeout', 'network'])

/** A closed record of a run, and what the simulator knows of it. */
export interface JudgedRun {
  readonly id: number
  readonly mode: string
  readonly status: string
  /** `status_reason`, or the code of the error. */
  readonly reason: string | null
  readonly message: string | null
  readonly requests: number
  readonly retries: number
}

export interface Judge {
  readonly runs: readonly JudgedRun[]
  /** Claims that did not hold, in words. */
  readonly failures: readonly string[]
  /** What a lying total made wrong: against assumption A2 nothing is promised. Told, and no failure. */
  readonly excused: readonly string[]
  /** Runs that said complete while items that were no jobs stood in the quarantine for listed ones. */
  readonly completeWithRejections: number
  /** To be called with each request before its page is read. Whoever awaits it is answered with the list as it is then. */
  beforeAnswer(request: AnsweredRequest): Promise<void>
  /** Judges all that is closed, as long as nobody runs. */
  finish(): Promise<void>
}

/** What a run was answered. */
interface Seen {
  readonly firstRequest: number
  lastRequest: number
  lastPage: number
  /** What was listed at its last answer. */
  listed: ReadonlySet<string>
}

interface StoredRows {
  readonly live: ReadonlySet<string>
  readonly removed: ReadonlySet<string>
  /** Uuids of open rejections of jobs that are not stored live. */
  readonly rejected: readonly string[]
  /** Copies of open rejections without a uuid. */
  readonly nameless: number
}

/**
 * Holds the runs of one worker against the truth.
 *
 * Each request asks the database which run is under way. The first one of a run finds the table as the run before it
 * left it, because a run writes nothing before its first answer: that is the moment to judge. A run that says complete
 * must have left exactly the set that was listed at its last answer; no run may have marked as removed what was listed
 * then, and thus, as no job comes back, all the time.
 */
export function createJudge(
  { sql }: TestDatabase,
  truth: { readonly requests: () => Simulator['requests']; readonly listed: () => ReadonlySet<string> },
): Judge {
  const seenBy = new Map<number, Seen>()
  const runs: JudgedRun[] = []
  const failures: string[] = []
  const excused: string[] = []
  /** Told once, by the run that did it. */
  const wronged = new Set<string>()
  let completeWithRejections = 0
  let turn = Promise.resolve()

  async function attend(request: AnsweredRequest): Promise<void> {
    const [running] = await sql<{ id: number }>(
      `SELECT id::integer AS id FROM spidra.sync_runs WHERE status = 'running'`,
    )
    // One that its run has given up: the worker is stopping.
    if (running === undefined) return
    if (!seenBy.has(running.id)) await judgeClosed()
    const listed = truth.listed()
    const seen = seenBy.get(running.id) ?? { firstRequest: request.number, lastRequest: 0, lastPage: 0, listed }
    seenBy.set(running.id, Object.assign(seen, { lastRequest: request.number, lastPage: request.page, listed }))
  }

  async function judgeClosed(): Promise<void> {
    const closed = await sql<JudgedRun>(
      `SELECT ${RUN_COLUMNS} FROM spidra.sync_runs WHERE id > $1 AND status <> 'running' ORDER BY id`,
      [runs.at(-1)?.id ?? 0],
    )
    if (closed.length === 0) return
    const stored = await readStored()
    for (const run of closed) {
      runs.push(run)
      if (run.status === 'failed' && !API_ERRORS.has(run.reason ?? '')) failures.push(`run ${run.id}: ${run.message}`)
      const seen = seenBy.get(run.id)
      seenBy.delete(run.id)
      if (seen !== undefined) judge(run, seen, stored)
      else if (run.status === 'complete') failures.push(`run ${run.id} said complete without having asked`)
    }
  }

  function judge(run: JudgedRun, seen: Seen, stored: StoredRows): void {
    const lies = liesTo(seen)
    const wrong = (claim: string, isExcused: boolean) =>
      (isExcused ? excused : failures).push(`run ${run.id} (${run.mode}): ${claim}`)
    const removed = [...stored.removed].filter((uuid) => seen.listed.has(uuid) && !wronged.has(uuid))
    if (removed.length > 0) wrong(`marked as removed while listed: ${removed.length}`, lies.size > 0)
    for (const uuid of removed) wronged.add(uuid)
    if (run.status !== 'complete') return

    if (seen.lastPage !== 1) failures.push(`run ${run.id} said complete on page ${seen.lastPage}`)
    const gone = [...stored.live].filter((uuid) => !seen.listed.has(uuid)).length
    const absent = [...seen.listed].filter((uuid) => !stored.live.has(uuid))
    const nameless = absent.filter((uuid) => !stored.rejected.includes(uuid)).length
    if (absent.length > 0) completeWithRejections += 1
    const strange = stored.rejected.filter((uuid) => !seen.listed.has(uuid)).length
    if (gone > 0 || strange > 0 || nameless !== stored.nameless) {
      const rejections = `${stored.rejected.length} + ${stored.nameless} rejections, ${strange} of them not listed`
      const sets = `${gone} stored and not listed, ${absent.length} listed and not stored`
      // The verdict is taken on the last answer. Where that told the truth, lies before it are no excuse.
      wrong(`said complete: ${sets}, ${rejections}`, lies.has(seen.lastRequest))
    }
  }

  /** Requests of the run that were answered with a wrong total. */
  function liesTo({ firstRequest, lastRequest }: Seen): ReadonlySet<number> {
    const own = truth.requests().filter(({ number }) => number >= firstRequest && number <= lastRequest)
    return new Set(own.filter(({ fault }) => fault === 'wrongTotal').map(({ number }) => number))
  }

  async function readStored(): Promise<StoredRows> {
    const jobs = await sql<{ uuid: string; is_removed: boolean }>(
      'SELECT uuid::text AS uuid, removed_at IS NOT NULL AS is_removed FROM spidra.batch_jobs',
    )
    const rejections = await sql<{ uuid: string | null; copies: number }>(
      'SELECT uuid::text AS uuid, copies FROM spidra.rejected_jobs WHERE resolved_at IS NULL',
    )
    const live = new Set(jobs.filter((job) => !job.is_removed).map(({ uuid }) => uuid))
    return {
      live,
      removed: new Set(jobs.filter((job) => job.is_removed).map(({ uuid }) => uuid)),
      rejected: rejections.flatMap(({ uuid }) => (uuid === null || live.has(uuid) ? [] : uuid)),
      nameless: rejections.reduce((sum, { uuid, copies }) => sum + (uuid === null ? copies : 0), 0),
    }
  }

  /** One at a time: a request that gave up may still be looked at when it is repeated. */
  function inTurn(work: () => Promise<void>): Promise<void> {
    turn = turn.then(work).catch((error: unknown) => void failures.push(`the soak itself failed: ${error}`))
    return turn
  }

  return {
    runs,
    failures,
    excused,
    get completeWithRejections() {
      return completeWithRejections
    },
    beforeAnswer: (request) => inTurn(() => attend(request)),
    finish: () => inTurn(judgeClosed),
  }
}
