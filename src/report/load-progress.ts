import type { Config } from '../config/config.js'
import { PAGE_LIMIT, TIMING } from '../config/scale.js'
import { countLiveJobs, countOpenPages, rankOf } from '../db/batch-jobs-read.js'
import type { Database } from '../db/client.js'
import type { SyncRun, SyncState } from '../db/generated/client.js'
import { readOpenRejections } from '../db/rejected-jobs.js'
import { counted } from '../logging/printable.js'
import { costOf, fullPass, toStartingBudget, withoutOwnShare } from '../sync/cost.js'
import { toCount, toShortTime } from './format.js'

/** How far a first load, or a full pass over a list that was read before, is. Instants are ISO 8601. */
export interface LoadProgress {
  /** When it was computed, by the clock of the database. */
  readonly asOf: string
  /** `first_load`: the list was never read to its end. `reread`: it was, and every job is read again. */
  readonly kind: 'first_load' | 'reread'
  /** Of a first load: items that are stored, as jobs or in quarantine. Of a full pass: jobs read again so far. */
  readonly doneJobs: number
  /** By the latest answer of the API that a heartbeat reported; null before the first answer. */
  readonly listedJobs: number | null
  /** Rounded down, so that 100 means all; null while `listedJobs` is. */
  readonly percent: number | null
  /** Whether a run is under way. */
  readonly isRunning: boolean
  /** `worker`: the last run yielded, and any worker of the fleet continues it. Null: it waits for nothing. */
  readonly waitsFor: 'request_budget' | 'next_run' | 'worker' | null
  /** Null: it does not wait, or the end of the wait is unknown. */
  readonly waitsUntil: string | null
  /**
   * When it will be done, as `plan` computes it, if the other loads of its machine get as many requests as it gets, and no other
   * client uses the budget. Null: unknown, because no request has been made, or no next run is scheduled.
   */
  readonly doneAt: string | null
}

type StateFacts = Pick<
  SyncState,
  | 'isWhole'
  | 'lastCompleteAt'
  | 'fullStartedAt'
  | 'passTotal'
  | 'rateLimit'
  | 'rateRemaining'
  | 'rateResetAt'
  | 'nextRunAt'
>

type RunFacts = Pick<
  SyncRun,
  | 'status'
  | 'errorCode'
  | 'startedAt'
  | 'finishedAt'
  | 'heartbeatAt'
  | 'requests'
  | 'waitedMs'
  | 'latestTotal'
  | 'listedTotal'
  | 'waitsUntil'
>

/** The facts that the progress is computed from. */
export interface LoadFacts {
  readonly state: StateFacts
  /** Newest first. */
  readonly runs: readonly RunFacts[]
  /** Live jobs, and quarantined items whose job is not stored live. */
  readonly storedJobs: number
  /** Of these, the ones that the pass need not read any more. */
  readonly passedJobs: number
  /** Pages below the first on which open jobs are stored. */
  readonly openPages: number
  /** Loads and full passes that share the request budget, this one included. */
  readonly sharers: number
}

/** Computes the progress of a first load or a full pass; null where none is unfinished. */
export function toLoadProgress(
  facts: LoadFacts,
  { now, rateLimit }: { readonly now: Date; readonly rateLimit: Config['rateLimit'] },
): LoadProgress | null {
  const { state, runs, storedJobs, passedJobs } = facts
  const kind = toKind(state, runs, now)
  if (kind === null) return null
  const running = findRunning(runs, now)
  const listedJobs = runs.map((run) => run.latestTotal ?? run.listedTotal).find(isKnown) ?? state.passTotal
  const doneJobs = kind === 'first_load' ? storedJobs : passedJobs
  const wait = toWait(facts, running, now)
  const doneInMs = listedJobs === null ? null : estimate(facts, { listedJobs, wait, now, rateLimit })
  return {
    asOf: now.toISOString(),
    kind,
    doneJobs,
    listedJobs,
    percent:
      listedJobs === null ? null : listedJobs === 0 ? 100 : Math.min(100, Math.floor((100 * doneJobs) / listedJobs)),
    isRunning: running !== null,
    waitsFor: wait?.for ?? null,
    waitsUntil: wait?.until?.toISOString() ?? null,
    doneAt: doneInMs === null ? null : toIso(now.getTime() + doneInMs),
  }
}

/**
 * What is under way; null: nothing. A first load counts from the start of its first run, before that run has recorded the pass.
 */
function toKind(state: StateFacts, runs: readonly RunFacts[], now: Date): LoadProgress['kind'] | null {
  const { isWhole, lastCompleteAt, fullStartedAt } = state
  const isFirst = !isWhole && lastCompleteAt === null
  if (fullStartedAt === null && !(isFirst && findRunning(runs, now) !== null)) return null
  return isFirst ? 'first_load' : 'reread'
}

/** The run under way. A record without a recent heartbeat is of a worker that is gone. */
function findRunning(runs: readonly RunFacts[], now: Date): RunFacts | null {
  const isAlive = ({ heartbeatAt }: RunFacts) => now.getTime() - heartbeatAt.getTime() < TIMING.deadAfterMs
  return runs.find((run) => run.status === 'running' && isAlive(run)) ?? null
}

/** What it waits for. `until` null: unknown. */
interface Wait {
  readonly for: NonNullable<LoadProgress['waitsFor']>
  readonly until: Date | null
}

function toWait({ state, runs }: LoadFacts, running: RunFacts | null, now: Date): Wait | null {
  const ifLater = (instant: Date | null) => (instant !== null && instant > now ? instant : null)
  if (running !== null) {
    const until = ifLater(running.waitsUntil)
    return until === null ? null : { for: 'request_budget', until }
  }
  if (runs[0]?.status === 'aborted' && runs[0].errorCode === 'handed_on') return { for: 'worker', until: null }
  return { for: 'next_run', until: ifLater(state.nextRunAt) }
}

/** The time until the last answer, in milliseconds; null: unknown. */
function estimate(
  facts: LoadFacts,
  options: {
    readonly listedJobs: number
    readonly wait: Wait | null
    readonly now: Date
    readonly rateLimit: Config['rateLimit']
  },
): number | null {
  const { listedJobs, wait, now, rateLimit } = options
  const requestMs = facts.runs.map(toRequestMs).find(isKnown)
  if (requestMs === undefined || (wait?.for === 'next_run' && wait.until === null)) return null
  const waitMs = wait?.until == null ? 0 : wait.until.getTime() - now.getTime()
  const own = fullPass(Math.max(0, listedJobs - facts.passedJobs), PAGE_LIMIT, facts.openPages)
  // The budget serves its callers in turn. They run at the same time, so each request takes a part of its time.
  const rest = { ...own, requests: own.requests * facts.sharers }
  const latencyMs = requestMs / facts.sharers
  if (wait?.for === 'request_budget') {
    const limit = facts.state.rateLimit ?? rateLimit.requests
    const spent = limit === null ? null : { limit, remaining: 0, resetInMs: waitMs }
    const budget = spent && toStartingBudget(spent, rateLimit)
    return costOf(rest, budget, latencyMs).durationMs + (budget === null ? waitMs : 0)
  }
  const startsAt = now.getTime() + waitMs
  const budget = toStartingBudget(reportedAt(facts.state, startsAt), rateLimit)
  return waitMs + costOf(rest, withoutOwnShare(budget), latencyMs).durationMs
}

/** The reported budget as of the instant; a whole one if its window is over by then. Null: the API reported none. */
function reportedAt({ rateLimit: limit, rateRemaining, rateResetAt }: StateFacts, instant: number) {
  if (limit === null) return null
  const resetInMs = rateResetAt === null ? null : rateResetAt.getTime() - instant
  if (resetInMs === null || resetInMs <= 0) return { limit, remaining: limit, resetInMs: null }
  return { limit, remaining: rateRemaining ?? limit, resetInMs }
}

/** The average time of a request in the run, without waits, in milliseconds; null: it made none. */
export function toRequestMs({
  startedAt,
  finishedAt,
  heartbeatAt,
  requests,
  waitedMs,
  waitsUntil,
}: RunFacts): number | null {
  if (requests === 0) return null
  const end = (finishedAt ?? heartbeatAt).getTime()
  // A wait is counted as a whole when it begins.
  const notYetWaitedMs = finishedAt === null && waitsUntil !== null ? Math.max(0, waitsUntil.getTime() - end) : 0
  return Math.max(1, end - startedAt.getTime() - (waitedMs - notYetWaitedMs)) / requests
}

function isKnown<Value>(value: Value | null): value is Value {
  return value !== null
}

/** The instant as ISO 8601; null where no date can hold it, as with a very long list. */
export function toIso(instant: number): string | null {
  const date = new Date(instant)
  return Number.isNaN(date.getTime()) ? null : date.toISOString()
}

/** The progress as a sentence of its own. */
export function toLoadSentence(progress: LoadProgress): string {
  return `${progress.kind === 'first_load' ? 'First load' : 'Full pass'}: ${toProgressText(progress)}.`
}

/** 4,998 of 20,000 jobs (25 %), waiting for the request budget until 20:40, done about 23:10 UTC */
export function toProgressText(progress: LoadProgress): string {
  const { kind, doneJobs, listedJobs, percent } = progress
  const verb = kind === 'reread' ? ' read again' : ''
  const done =
    listedJobs === null
      ? `${counted(doneJobs, 'job')}${verb}`
      : `${toCount(doneJobs)} of ${counted(listedJobs, 'job')}${verb} (${percent} %)`
  return [done, ...toOutlook(progress)].join(', ')
}

/** 25 %, waiting for the request budget until 20:40, done about 23:10 UTC: for one line of a terminal. */
export function toOutlookText(progress: LoadProgress): string {
  return [...(progress.percent === null ? [] : [`${progress.percent} %`]), ...toOutlook(progress)].join(', ')
}

function toOutlook({ asOf, waitsFor, waitsUntil, doneAt }: LoadProgress): string[] {
  const now = new Date(asOf)
  const until = waitsUntil === null ? '' : ` until ${toTime(new Date(waitsUntil), now)}`
  const parts = [
    waitsFor === null ? null : `${WAITS[waitsFor]}${until}`,
    doneAt === null ? null : `done about ${toTime(new Date(doneAt), now)}`,
  ].filter(isKnown)
  return parts.map((part, i) => (i === parts.length - 1 && (waitsUntil ?? doneAt) !== null ? `${part} UTC` : part))
}

/** Instants that are nearer than this are shown with seconds, in milliseconds. */
const NEAR_MS = 10 * 60_000

/** The time of day. It is rounded up, so that a wait is over when the clock shows its end. */
export function toTime(instant: Date, now: Date): string {
  const roundUp = (unitMs: number) => new Date(Math.ceil(instant.getTime() / unitMs) * unitMs)
  if (instant.getTime() - now.getTime() < NEAR_MS) return roundUp(1_000).toISOString().slice(11, 19)
  return toShortTime(roundUp(60_000), now)
}

const WAITS: Readonly<Record<NonNullable<LoadProgress['waitsFor']>, string>> = {
  request_budget: 'waiting for the request budget',
  next_run: 'waiting for the next run',
  worker: 'waiting for a worker',
}

interface ReadOptions {
  readonly now: Date
  readonly rateLimit: Config['rateLimit']
}

/** Reads the progress of an account; null where no first load and no full pass is unfinished. */
export async function readLoadProgress(
  db: Database,
  { account, ...options }: ReadOptions & { readonly account: string },
): Promise<LoadProgress | null> {
  const state = await db.syncState.findUnique({ where: { account } })
  return state && loadProgressFrom(db, { state, runs: await readLastRuns(db, account) }, options)
}

/** Reads what the progress needs besides the state and the last runs of the account. */
export async function loadProgressFrom(
  db: Database,
  { state, runs }: { readonly state: SyncState; readonly runs: readonly SyncRun[] },
  options: ReadOptions,
): Promise<LoadProgress | null> {
  const { account } = state
  if (toKind(state, runs, options.now) === null) return null
  const [liveJobs, rejections, passedLive, openPages, sharers] = await Promise.all([
    countLiveJobs(db, account),
    readOpenRejections(db, account),
    countPassed(db, state),
    countOpenPages(db, account, PAGE_LIMIT),
    countSharers(db, runs),
  ])
  const storedJobs = liveJobs + rejections.unstored
  // Items in quarantine have no valid date, so no position. All of them were read.
  const passedJobs = passedLive === null ? storedJobs : passedLive === 0 ? 0 : passedLive + rejections.unstored
  return toLoadProgress({ state, runs, storedJobs, passedJobs, openPages, sharers }, options)
}

/**
 * Counts the loads and full passes that share the request budget: those that were last read within an hour, from the same
 * machine.
 */
async function countSharers(db: Database, [last]: readonly SyncRun[]): Promise<number> {
  if (last === undefined) return 1
  const [row] = await db.$queryRaw<{ sharers: number }[]>`
    SELECT count(*)::integer AS sharers
    FROM spidra.sync_state s
    CROSS JOIN LATERAL (
      SELECT r.worker, r.heartbeat_at FROM spidra.sync_runs r
      WHERE r.account = s.account ORDER BY r.started_at DESC, r.id DESC LIMIT 1
    ) own
    WHERE s.full_started_at IS NOT NULL AND own.heartbeat_at > now() - interval '1 hour'
      AND regexp_replace(own.worker, ':[^:]*$', '') = regexp_replace(${last.worker}, ':[^:]*$', '')`
  return Math.max(1, row?.sharers ?? 1)
}

const RUNS_READ = 10

/** Reads the last ten runs of the account, newest first. */
export function readLastRuns(db: Database, account: string): Promise<SyncRun[]> {
  return db.syncRun.findMany({
    where: { account },
    orderBy: [{ startedAt: 'desc' }, { id: 'desc' }],
    take: RUNS_READ,
  })
}

/** Counts the live jobs above the position of the pass; null: all that is stored, because its list has no positions. */
function countPassed(db: Database, state: SyncState): Promise<number> | number | null {
  const { account, isWhole, lastCompleteAt, losesJobs, isUnsorted, bottomCreatedAt, fullCreatedAt } = state
  const position = isWhole ? fullCreatedAt : bottomCreatedAt
  if (position !== null) return rankOf(db, account, position.toISOString())
  // A pass begins again from the top when its list is seen to lose jobs. Before that, nothing is stored without being read.
  return lastCompleteAt === null && (isUnsorted || !losesJobs) ? null : 0
}
