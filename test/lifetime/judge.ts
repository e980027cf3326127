import type { Simulator } from '../../src/simulator/server.js'
import type { OwnPostgres } from '../support/own-postgres.js'
import { count, type Day, newDay } from './day.js'
import type { ServiceSeat } from './service.js'
import type { StoredRow, Truth } from './truth.js'

/** At most this share of the time goes into comparisons of the whole set of rows. */
const COMPARING_SHARE = 0.1

/** At most this number of rows is compared field by field at the end of a day. */
const ROWS_COMPARED = 20_000

/** The search for a job that left the list halves some hundred pages, and reads the head again. */
const REQUESTS_A_REMOVAL = 15

/** A window counts as used up from this share of our requests on. */
const USED_UP_SHARE = 0.9

/** However slow the machine, a first load that stands still for this number of windows is stuck. */
const IDLE_WINDOWS = 4

/**
 * When the first load has reached the end of the list, there is a verdict after this number of windows. Each job that left the
 * list meanwhile may have to be searched for first.
 */
const FIRST_VERDICT_WINDOWS = 4

/** How a run may fail where requests fail. */
const API_ERRORS: ReadonlySet<string | null> = new Set([
  'rate_limited',
  'server_error',
  'bad_payload',
  'timeout',
  'network',
])

export interface Rules {
  /** Real milliseconds of a scaled one, inverted: how much faster the time goes. */
  readonly speed: number
  /** Of `SYNC_SCHEDULE`, in real milliseconds. */
  readonly intervalMs: number
  /** What the measuring may add to an age, in real milliseconds. */
  readonly toleranceMs: number
  readonly windowMs: number
  /** Requests of ours in one window. */
  readonly share: number
  readonly hasFaults: boolean
  /** What a 503 asks to wait, in real milliseconds. */
  readonly retryAfterMs: number
  /** Age from which the service says that a verdict is no longer fresh, in real milliseconds. */
  readonly freshMs: number
  /** When the account came to life, epoch ms: all older jobs are its history. */
  readonly epoch: number
}

interface Evidence {
  readonly postgres: OwnPostgres
  readonly simulator: Simulator
  readonly seat: ServiceSeat
  readonly truth: Truth
  /** Hears of each violation at once. */
  readonly onViolation: (what: string) => void
}

interface Run {
  readonly id: number
  readonly status: string
  readonly reason: string | null
  readonly message: string | null
  readonly startedAt: number
  readonly finishedAt: number
}

/** How far a first load is. */
interface Load {
  /** Jobs of the account's history. */
  readonly stored: number
  readonly losesJobs: boolean
  /** Down to where the list is read, epoch seconds; null: nothing of it. */
  readonly bottom: number | null
}

interface State {
  readonly now: number
  readonly completeAt: number | null
  readonly isWhole: boolean | null
}

/** Holds the service to its claims: every method looks at what has happened since it was called last. */
export interface Judge {
  readonly day: Day
  /** Ends the day: compares fields, and begins the next one. */
  endDay(): Promise<Day>
  judgeRequests(): Promise<void>
  judgeRuns(): Promise<void>
  judgeFreshness(): Promise<void>
  judgeSet(): Promise<void>
  judgeReadiness(): Promise<void>
  judgeAlert(message: { readonly kind: string; readonly state: string; readonly summary: string }): void
}

export function createJudge(rules: Rules, { postgres, simulator, seat, truth, onViolation }: Evidence): Judge {
  let day = newDay()
  let lastRequest = 0
  let lastRun = 0
  let window = { endsAt: 0, starts: 0, ours: 0, total: 0, since: 0, idle: 0 }
  let load: Load = { stored: 0, losesJobs: false, bottom: null }
  /** When the reading of a list that loses jobs began anew; null: it did not. */
  let begunAnewAt: number | null = null
  /** Of the last verdict that was seen. */
  let completeAt: number | null = null
  let comparedAt = 0
  let comparingMs = 0
  let isWhole = false
  let wholeAt = 0
  let isOld = false
  let isUnready = false
  let readyAskedAt = Date.now()
  let excusedPartialAt = 0
  const startedAt = Date.now()
  const serviceBusy: number[] = []

  const minutes = (ms: number) => (ms * rules.speed) / 60_000
  const inMinutes = (ms: number) => `${minutes(ms).toFixed(1)} min`

  /** How long the service was down between two instants. */
  function downBetween(from: number, to: number): number {
    const overlaps = seat.downtimes.map((down) => Math.min(to, down.to ?? to) - Math.max(from, down.from))
    return overlaps.reduce((sum, overlap) => sum + Math.max(0, overlap), 0)
  }

  /** How long injected answers have asked the service to wait since an instant. */
  function askedToWaitSince(instant: number): number {
    return serviceBusy.filter((at) => at >= instant).length * rules.retryAfterMs
  }

  /** More jobs left the list than can be found one by one with the requests of a window. */
  function isOverwhelmed(): boolean {
    return truth.removalsSince(Date.now() - 2 * rules.windowMs) > rules.share / REQUESTS_A_REMOVAL
  }

  async function judgeRequests(): Promise<void> {
    for (const { number, batch, status, fault, windowEndsAt, at } of simulator.requests) {
      if (number <= lastRequest || windowEndsAt === null) continue
      lastRequest = number
      day.requests += 1
      if (batch !== null) day.itemRequests += 1
      if (fault === 'http503') serviceBusy.push(at)
      if (status === 429 && fault === null) day.refused += 1
      if (windowEndsAt !== window.endsAt) await beginWindow(windowEndsAt)
      window.total += 1
      day.fullest = Math.max(day.fullest, window.total)
      window.ours = window.starts === seat.starts ? window.ours + 1 : 1
      window.starts = seat.starts
      if (window.ours === rules.share + 1) {
        onViolation(`request ${number}: more than ${rules.share} requests of one process in a window`)
      }
    }
  }

  /** Until the first load is through, every window brings it further, unless the machine is too slow to use it up. */
  async function beginWindow(endsAt: number): Promise<void> {
    day.windows += 1
    const { total, since, idle } = window
    const before = load
    window = { ...window, endsAt, starts: seat.starts, ours: 0, total: 0, since: Date.now() }
    if (isWhole) return
    const [row] = await postgres.sql<Load>(
      `SELECT (SELECT count(*) FROM spidra.batch_jobs WHERE created_at < to_timestamp($1))::integer AS stored,
         bool_or(loses_jobs) IS TRUE AS "losesJobs", extract(epoch FROM max(bottom_created_at))::double precision AS bottom
       FROM spidra.sync_state`,
      [rules.epoch / 1000],
    )
    load = row ?? before
    const isExcused = since === 0 || isWhole || hasAdvanced(before, load) || downBetween(since, Date.now()) > 0
    window.idle = isExcused ? 0 : idle + 1
    if (window.idle === 0 || (total < USED_UP_SHARE * rules.share && window.idle < IDLE_WINDOWS)) return
    const stored = `${load.stored} jobs of its history are stored`
    onViolation(`the first load did not advance in a window of ${total} requests: ${stored}`)
  }

  /** A list that is found to lose jobs is read once more from its top, over jobs that are stored: once, and further down in each window. */
  function hasAdvanced(before: Load, after: Load): boolean {
    if (after.stored > before.stored || after.losesJobs !== before.losesJobs) return true
    if (!after.losesJobs || after.bottom === before.bottom) return false
    const isAnew = toHeight(after) > toHeight(before)
    const isFirstTime = begunAnewAt === null
    if (isAnew) begunAnewAt ??= Date.now()
    return !isAnew || isFirstTime
  }

  async function judgeRuns(): Promise<void> {
    const runs = await postgres.sql<Run>(
      `SELECT id::integer AS id, status, coalesce(status_reason, error_code) AS reason, error_message AS message,
         extract(epoch FROM started_at)::double precision * 1000 AS "startedAt",
         extract(epoch FROM finished_at)::double precision * 1000 AS "finishedAt"
       FROM spidra.sync_runs WHERE id > $1 AND status <> 'running' ORDER BY id`,
      [lastRun],
    )
    for (const run of runs) {
      lastRun = run.id
      const { id, status, reason, message } = run
      count(day.runs, reason === null ? status : `${status} (${reason})`)
      const isEarned = isRunEarned(run)
      if (status === 'partial' && isEarned) excusedPartialAt = Date.now()
      if (!isEarned) onViolation(`run ${id} ended ${status} (${reason}) without a cause: ${message ?? 'no message'}`)
    }
  }

  function isRunEarned({ status, reason, startedAt: from, finishedAt: to }: Run): boolean {
    switch (status) {
      case 'complete':
        return true
      case 'aborted':
        return downBetween(from, to + 1) > 0 || downBetween(from, Date.now()) > 0
      case 'failed':
        return rules.hasFaults && API_ERRORS.has(reason)
      default:
        // Only a list that has just lost a job may disagree with the table, or move under a run that looks for it.
        if (reason === 'more_stored_than_listed' || reason === 'list_moving') {
          return truth.removalsSince(completeAt ?? startedAt) > 0
        }
        return reason === 'first_pass_unfinished' && completeAt === null
    }
  }

  async function readState(): Promise<State> {
    const [state] = await postgres.sql<State>(
      `SELECT extract(epoch FROM clock_timestamp())::double precision * 1000 AS now,
         extract(epoch FROM max(last_complete_at))::double precision * 1000 AS "completeAt", bool_and(is_whole) AS "isWhole" FROM spidra.sync_state`,
    )
    return state ?? { now: Date.now(), completeAt: null, isWhole: null }
  }

  async function judgeFreshness(): Promise<void> {
    const state = await readState()
    if (!isWhole && state.isWhole) wholeAt = Date.now()
    isWhole = state.isWhole === true
    if (state.completeAt === null) {
      const searches = (truth.removalsSince(begunAnewAt ?? startedAt) * REQUESTS_A_REMOVAL) / rules.share
      const excusedMs = (FIRST_VERDICT_WINDOWS + searches) * rules.windowMs + downBetween(wholeAt, Date.now())
      if (!isWhole || isOld || Date.now() - wholeAt <= excusedMs) return
      isOld = true
      onViolation(`no verdict in ${inMinutes(Date.now() - wholeAt)} since the first load reached the end of the list`)
      return
    }
    if (state.completeAt !== completeAt) {
      day.verdicts += 1
      isOld = false
    }
    completeAt = state.completeAt
    const ageMs = state.now - state.completeAt
    day.worstAge = Math.max(day.worstAge ?? 0, minutes(ageMs))
    const excusedMs = downBetween(state.completeAt, state.now) + askedToWaitSince(state.completeAt)
    day.worstUnexcusedAge = Math.max(day.worstUnexcusedAge, minutes(ageMs - excusedMs))
    if (isOld || isOverwhelmed() || ageMs - excusedMs <= 2 * rules.intervalMs + rules.toleranceMs) return
    // Once for each verdict that is late.
    isOld = true
    onViolation(`complete_as_of is ${inMinutes(ageMs)} old, of which ${inMinutes(excusedMs)} are excused`)
  }

  /** Compares the set of rows with what `complete_as_of` claims of it, whenever a verdict has moved it. */
  async function judgeSet(): Promise<void> {
    if (completeAt === comparedAt || completeAt === null) return
    if (comparingMs > COMPARING_SHARE * (Date.now() - startedAt)) return
    const began = Date.now()
    const [row] = await postgres.sql<{ completeAt: number; uuids: string }>(
      `SELECT extract(epoch FROM max(s.last_complete_at))::double precision * 1000 AS "completeAt",
         (SELECT string_agg(uuid::text, ',') FROM spidra.batch_jobs WHERE removed_at IS NULL) AS uuids
       FROM spidra.sync_state s`,
    )
    if (row === undefined) return
    comparedAt = row.completeAt
    day.compared += 1
    const stored = row.uuids?.split(',') ?? []
    noteWrong(
      await truth.wrongSet(stored, row.completeAt),
      `the table is not complete as of ${toClock(row.completeAt)}`,
    )
    comparingMs += Date.now() - began
  }

  function noteWrong(wrong: readonly string[], claim: string): void {
    day.wrong = Math.max(day.wrong, wrong.length)
    if (wrong.length > 0) onViolation(`${claim}: ${wrong.length} rows are wrong, such as ${wrong[0]}`)
  }

  async function endDay(): Promise<Day> {
    const [state] = await postgres.sql<{ rereadSince: number | null; stored: number }>(
      `SELECT extract(epoch FROM max(reread_since))::double precision * 1000 AS "rereadSince",
         (SELECT count(*)::integer FROM spidra.batch_jobs WHERE removed_at IS NULL) AS stored FROM spidra.sync_state`,
    )
    const { rereadSince = null, stored = 0 } = state ?? {}
    if (rereadSince !== null) {
      const rows = await postgres.sql<StoredRow>(
        `SELECT uuid::text AS uuid, status, completed_count AS completed, failed_count AS failed,
           floor(extract(epoch FROM finished_at) * 1000)::double precision AS "finishedAt"
         FROM spidra.batch_jobs WHERE removed_at IS NULL ORDER BY hashtext(uuid::text || $1) LIMIT $2`,
        [String(lastRun), ROWS_COMPARED],
      )
      noteWrong(await truth.wrongRows(rows, rereadSince), `not every job was read again since ${toClock(rereadSince)}`)
    }
    const ended = Object.assign(day, { stored, listed: simulator.account.total })
    day = newDay()
    return ended
  }

  async function judgeReadiness(): Promise<void> {
    const { url } = seat
    const askedAt = Date.now()
    const elapsedMs = askedAt - readyAskedAt
    readyAskedAt = askedAt
    if (url === null) return
    const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(10_000) }).catch(() => null)
    // Its process was ended meanwhile.
    if (answer === null || seat.url !== url) return
    const text = await answer.text().catch(() => '')
    const wasReady = !isUnready
    isUnready = answer.status === 503
    if (!isUnready) return
    day.notReady += minutes(elapsedMs)
    const since = completeAt ?? startedAt
    const isOwnFault = Date.now() - since - askedToWaitSince(since) > rules.freshMs
    if (wasReady && isOwnFault && downBetween(since, Date.now()) === 0 && !isOverwhelmed())
      onViolation(`/readyz is 503 without a cause: ${text}`)
  }

  function judgeAlert({ kind, state, summary }: Parameters<Judge['judgeAlert']>[0]): void {
    if (state !== 'firing') return
    count(day.alerts, kind)
    const isEarned =
      kind === 'stale'
        ? downBetween(completeAt ?? startedAt, Date.now()) > 0
        : kind === 'run_partial' && excusedPartialAt > 0
    if (!isEarned) onViolation(`alert ${kind} without a cause: ${summary}`)
  }

  return {
    get day() {
      return day
    },
    ...{ endDay, judgeRequests, judgeRuns, judgeFreshness, judgeSet, judgeReadiness, judgeAlert },
  }
}

/** Where a load stands: the lower, the more is read. */
function toHeight({ bottom }: Load): number {
  return bottom ?? Number.POSITIVE_INFINITY
}

function toClock(instant: number): string {
  return new Date(instant).toISOString()
}
