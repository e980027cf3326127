import { setTimeout as sleep } from 'node:timers/promises'
import type { AnsweredRequest, Simulator } from '../../src/simulator/server.js'
import type { TestDatabase } from '../support/test-database.js'

/** Error codes with which a run may fail because of the API's faults. Any other, such as `internal`, is a bug. */
const API_ERRORS = new Set(['payment_required', 'rate_limited', 'server_error', 'bad_payload', 'timeout', 'network'])

/** How long to wait for a run to end, in milliseconds; far longer than any takes. */
export const WAIT_MS = 180_000

/** Interval for polling the table of runs, in milliseconds. */
const POLL_MS = 100

const RUN_COLUMNS = `id::integer AS id, mode, status, coalesce(status_reason, error_code) AS reason,
  error_message AS message, requests, retries`

/** The record of a run that has ended. */
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
  /** Claims that did not hold, one sentence each. */
  readonly failures: readonly string[]
  /**
   * Claims that did not hold after answers with a wrong total. Assumption A2 excludes such answers, so these are no
   * failures.
   */
  readonly excused: readonly string[]
  /** Runs that were complete with invalid items of listed jobs in the quarantine. */
  readonly completeWithRejections: number
  /**
   * Must be called with each request before its page is read, and awaited: the answer then shows the list as of that
   * moment.
   */
  beforeAnswer(request: AnsweredRequest): Promise<void>
  /** Judges the last runs. No run may be under way. */
  finish(): Promise<void>
}

/** The requests of a run so far. */
interface Seen {
  readonly firstRequest: number
  lastRequest: number
  lastPage: number
  /** The uuids listed at its last answer. */
  listed: ReadonlySet<string>
}

interface StoredRows {
  readonly live: ReadonlySet<string>
  readonly removed: ReadonlySet<string>
  /** Uuids of unresolved rejections of jobs that are not stored. */
  readonly rejected: readonly string[]
  /** Number of items of unresolved rejections without a uuid. */
  readonly nameless: number
}

/**
 * Checks the runs of one worker against the simulator's list.
 *
 * At each request it reads from the database which run is under way. At the first request of a run, the table is as the
 * run before left it, because a run writes nothing before its first answer. Then the run before is judged. If it was
 * complete, the table must hold exactly the jobs that were listed at its last answer. No run may have marked a job as
 * removed that was listed then; such a job was listed all the time, because removed jobs never come back.
 */
export function createJudge(
  { sql }: TestDatabase,
  truth: { readonly requests: () => Simulator['requests']; readonly listed: () => ReadonlySet<string> },
): Judge {
  const seenBy = new Map<number, Seen>()
  const runs: JudgedRun[] = []
  const failures: string[] = []
  const excused: string[] = []
  /** Jobs already reported as wrongly removed. */
  const reported = new Set<string>()
  let completeWithRejections = 0
  let turn = Promise.resolve()

  async function attend(request: AnsweredRequest): Promise<void> {
    const [running] = await sql<{ id: number }>(
      `SELECT id::integer AS id FROM spidra.sync_runs WHERE status = 'running'`,
    )
    // The worker is stopping, and its run has given up this request.
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
      else if (run.status === 'complete') failures.push(`run ${run.id} was complete without a request`)
    }
  }

  function judge(run: JudgedRun, seen: Seen, stored: StoredRows): void {
    const wrongTotals = wrongTotalsOf(seen)
    const wrong = (claim: string, isExcused: boolean) =>
      (isExcused ? excused : failures).push(`run ${run.id} (${run.mode}): ${claim}`)
    const removed = [...stored.removed].filter((uuid) => seen.listed.has(uuid) && !reported.has(uuid))
    if (removed.length > 0) wrong(`marked as removed while listed: ${removed.length}`, wrongTotals.size > 0)
    for (const uuid of removed) reported.add(uuid)
    if (run.status !== 'complete') return

    if (seen.lastPage !== 1) failures.push(`run ${run.id} was complete after page ${seen.lastPage}`)
    const gone = [...stored.live].filter((uuid) => !seen.listed.has(uuid)).length
    const absent = [...seen.listed].filter((uuid) => !stored.live.has(uuid))
    const nameless = absent.filter((uuid) => !stored.rejected.includes(uuid)).length
    if (absent.length > 0) completeWithRejections += 1
    const unlisted = stored.rejected.filter((uuid) => !seen.listed.has(uuid)).length
    if (gone > 0 || unlisted > 0 || nameless !== stored.nameless) {
      const rejections = `${stored.rejected.length} + ${stored.nameless} rejections, ${unlisted} of them not listed`
      const sets = `${gone} stored and not listed, ${absent.length} listed and not stored`
      // The verdict depends on the last answer. If its total was right, earlier wrong totals are no excuse.
      wrong(`was complete: ${sets}, ${rejections}`, wrongTotals.has(seen.lastRequest))
    }
  }

  /** The requests of the run that were answered with a wrong total. */
  function wrongTotalsOf({ firstRequest, lastRequest }: Seen): ReadonlySet<number> {
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

  /** Runs one task at a time: the check of a request that was given up may still run when it is repeated. */
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

/**
 * Waits for the end of the first run of a mode (null: any) that starts after this call. Null: it did not end in time.
 *
 * @throws the signal's reason when it aborts.
 */
export async function nextRun(
  { sql }: TestDatabase,
  mode: 'full' | null,
  signal: AbortSignal,
): Promise<JudgedRun | null> {
  const [latest] = await sql<{ id: number }>('SELECT coalesce(max(id), 0)::integer AS id FROM spidra.sync_runs')
  const giveUpAt = performance.now() + WAIT_MS
  while (performance.now() < giveUpAt) {
    const [run] = await sql<JudgedRun>(
      `SELECT ${RUN_COLUMNS} FROM spidra.sync_runs WHERE id > $1 AND ($2::text IS NULL OR mode = $2) ORDER BY id LIMIT 1`,
      [latest?.id ?? 0, mode],
    )
    if (run !== undefined && run.status !== 'running') return run
    await sleep(POLL_MS, undefined, { signal })
  }
  return null
}
