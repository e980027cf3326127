import type { Logger } from 'pino'
import type { ResultsMode } from '../config/config.js'
import type { Timing } from '../config/scale.js'
import {
  type BatchReading,
  type DueBatch,
  type ItemCounts,
  noteStored,
  putOff,
  readDue,
  storeReading,
} from '../db/batch-items.js'
import { refusalOf } from '../db/batch-jobs.js'
import type { Database } from '../db/client.js'
import { RunClosedError, type RunKey } from '../db/sync-runs.js'
import type { SpidraClient } from '../spidra/client.js'
import { SpidraError, type SpidraErrorCode } from '../spidra/errors.js'
import type { BatchBody } from '../spidra/wire.js'

/** What a run does about the results of batches. */
export interface ResultsOptions {
  readonly mode: ResultsMode
  /** Requests of one run for batches. */
  readonly perRun: number
  /** Whether a request for a batch may go now: without waiting, and with enough of the rate limit's window left for the list. */
  readonly mayRead: () => boolean
}

interface ReadResultsOptions extends ResultsOptions {
  readonly db: Database
  readonly client: Pick<SpidraClient, 'readBatch'>
  readonly run: RunKey
  /** When the run began, on the clock of `performance.now()`. */
  readonly startedAt: number
  /** Whether some stored jobs have not yet been compared with how their items were last read. */
  readonly isComparing: boolean
  readonly timing: Pick<Timing, 'refreshMs' | 'resultsPauseMs' | 'longestResultsPauseMs'>
  readonly signal: AbortSignal
  readonly log: Logger
}

/** Attempts, of whatever outcome, after which an incomplete or unusable answer is the last one. */
const MAX_ATTEMPTS = 5

/** Comparisons of stored jobs in one run, 5,000 jobs each. */
const MAX_COMPARISONS = 20

/** Failed requests in a row after which the API is left alone until the next run. */
const MAX_FAILURES = 3

/** Errors that the next batch would meet too. */
const ENDS_READING: ReadonlySet<SpidraErrorCode> = new Set([
  'unauthorized',
  'forbidden',
  'payment_required',
  'rate_limited',
])

/** Errors of one batch alone. Asking again may bring the same. */
const OF_ONE_BATCH: ReadonlySet<SpidraErrorCode> = new Set(['bad_payload', 'rejected'])

/** What a run read of batches. */
interface ResultsRead {
  batches: number
  items: number
  results: number
  failures: number
}

/**
 * Reads the items of ended jobs that have changed since their items were last read, the newest first. The list comes first, so
 * this is called after the verdict. It ends when `mayRead` says no, after half of the time between two runs since this one
 * began, after `perRun` requests, and when the API fails. Each batch is stored before the next is asked for, so a worker that
 * dies loses at most one answer. Only an incomplete one stays due.
 *
 * @throws RunClosedError when another worker took over; the signal's reason; what Prisma throws. An error of the API is logged,
 *   and the batch stays due, until the fifth attempt if the answer itself is unusable.
 */
export async function readResults(options: ReadResultsOptions): Promise<ResultsRead> {
  const { db, run, mode, mayRead, timing, signal, log } = options
  const read: ResultsRead = { batches: 0, items: 0, results: 0, failures: 0 }
  if (!mayRead()) return read
  const endsAt = options.startedAt + timing.refreshMs / 2
  let failuresInRow = 0
  for (const due of await findDue(options)) {
    signal.throwIfAborted()
    if (failuresInRow >= MAX_FAILURES || !mayRead() || performance.now() > endsAt) break
    try {
      const counts = await readOne(options, due)
      read.batches += 1
      read.items += counts.written
      read.results += counts.results
      failuresInRow = 0
    } catch (error) {
      if (!(error instanceof SpidraError)) throw error
      read.failures += 1
      failuresInRow += 1
      log.warn({ err: error, batch: due.uuid }, 'items of a batch could not be read')
      if (error.code === 'rate_limited') break
      if (OF_ONE_BATCH.has(error.code) && due.attempts + 1 >= MAX_ATTEMPTS) {
        const unreadable: BatchReading = { outcome: 'unreadable', reason: error.message, items: [], bytes: 0 }
        await storeReading(db, run, due, unreadable, { mode, pauseMs: null })
      } else await putOff(db, due.uuid, pauseMs(due, timing))
      if (ENDS_READING.has(error.code)) break
    }
  }
  if (read.batches + read.failures > 0) log.info(read, 'items of batches read')
  return read
}

/** Reads one batch and stores it. What Postgres refuses or cannot store in time is put off too, so that others get their turn. */
async function readOne(
  { client, db, run, mode, timing, signal }: ReadResultsOptions,
  due: DueBatch,
): Promise<ItemCounts> {
  const body = await client.readBatch({ uuid: due.uuid, signal })
  const reading = toReading(body, due)
  const isFinal = reading.outcome !== 'incomplete' || due.attempts + 1 >= MAX_ATTEMPTS
  const store = (what: BatchReading, pause: number | null) => storeReading(db, run, due, what, { mode, pauseMs: pause })
  try {
    return await store(reading, isFinal ? null : pauseMs(due, timing))
  } catch (error) {
    if (error instanceof RunClosedError || signal.aborted) throw error
    const reason = refusalOf(error)
    if (reason !== null) return store({ ...reading, outcome: 'unreadable', reason, items: [] }, null)
    await putOff(db, due.uuid, pauseMs(due, timing))
    throw error
  }
}

/**
 * Finds the batches for this run. While stored jobs remain to be compared, each run compares at least some, so that the count of
 * due batches comes true; more only as long as too few are due.
 */
async function findDue({ db, run, mode, perRun, isComparing }: ReadResultsOptions): Promise<readonly DueBatch[]> {
  let due = await readDue(db, run.account, perRun)
  let isLast = !isComparing
  for (let rounds = 0; !isLast && (rounds === 0 || due.length < perRun) && rounds < MAX_COMPARISONS; rounds += 1) {
    const compared = await noteStored(db, run, mode)
    isLast = compared.isLast
    if (compared.noted > 0) due = await readDue(db, run.account, perRun)
  }
  return due
}

function pauseMs({ attempts }: DueBatch, timing: ReadResultsOptions['timing']): number {
  return Math.min(timing.resultsPauseMs * 2 ** attempts, timing.longestResultsPauseMs)
}

/**
 * Decides how complete an answer is: its items must match its own counters, and its status and counters those of the list. An
 * answer of a replica that lags behind does not.
 */
function toReading(body: BatchBody | null, due: DueBatch): BatchReading {
  if (body === null) return { outcome: 'gone', reason: 'the API does not know the batch (404)', items: [], bytes: 0 }
  const { items } = body
  const countOf = (status: string) => items.filter((item) => item.status === status).length
  const differences = [
    { what: 'items', counted: body.totalUrls, found: items.length },
    { what: 'completed items', counted: body.completedCount, found: countOf('completed') },
    { what: 'failed items', counted: body.failedCount, found: countOf('failed') },
    { what: 'completed items', counted: due.completedCount, found: body.completedCount },
    { what: 'failed items', counted: due.failedCount, found: body.failedCount },
  ].flatMap(({ what, counted, found }) =>
    counted === found ? [] : `${found ?? 'no number of'} ${what}, where ${counted ?? 'none'} are counted`,
  )
  if (body.status !== due.status) differences.push(`status ${body.status}, where the list has ${due.status}`)
  const reason = [...new Set(differences)].join('; ')
  return {
    outcome: reason === '' ? 'complete' : 'incomplete',
    reason: reason === '' ? null : reason,
    items,
    bytes: body.bytes,
  }
}
