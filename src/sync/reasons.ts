import type { DatabaseErrorCode } from '../db/connection-error.js'
import type { RunClosedError } from '../db/sync-runs.js'
import type { SpidraErrorCode } from '../spidra/errors.js'
import type { ForeignListError } from './foreign-list.js'
import type { TwoListsError, YieldError } from './interruptions.js'
import type { PartialReason } from './verdict.js'

/** Every reason that a run record can have: of a partial run in `status_reason`, of any other in `error_code`. */
type RunReason =
  | PartialReason
  | SpidraErrorCode
  | DatabaseErrorCode
  | (ForeignListError | TwoListsError | YieldError | RunClosedError)['code']
  | 'stalled'
  | 'stopped'
  | 'internal'

/** What a reason means, and what to do. Null where the message of the error says it. */
interface Explanation {
  readonly meaning: string | null
  readonly advice: string | null
}

const TRIES_AGAIN = 'The next run tries again.'
const CONTINUES = 'The next run continues from there.'
const SAID: Explanation = { meaning: null, advice: null }

const EXPLANATIONS: Readonly<Record<RunReason, Explanation>> = {
  first_pass_unfinished: {
    meaning: 'the list has not been read to its end yet',
    advice: 'Run sync again, or leave the service running: each run continues where the last one ended.',
  },
  list_moving: {
    meaning: 'the list changed faster than it could be read',
    advice: 'The next run tries again; if this lasts, let a full run start at a quieter hour (FULL_SYNC_SCHEDULE).',
  },
  page_faulty: {
    meaning: 'a page contradicted itself, or came from a cache, after all retries; what it listed was kept',
    advice:
      'The log names the page. With a cache or proxy on the way, keep it from storing the list; else report it to Spidra.',
  },
  fewer_stored_than_listed: {
    meaning: 'the API counts more jobs than it lists',
    advice: 'The next full run tries again. Look into spidra.rejected_jobs if it stays.',
  },
  more_stored_than_listed: {
    meaning: 'more jobs are stored than the API counts, and a full pass did not settle it',
    advice: 'The next full run tries again. Look into spidra.rejected_jobs if it stays.',
  },
  mass_removal: {
    meaning: 'most stored jobs are no longer listed, so nothing was marked as removed',
    advice:
      'Check the key: it may belong to another account. If it is right, run sync --full --accept-removals to mark them.',
  },
  assumption_broken: {
    meaning: 'the list is out of order, changed its order or dates, or loses jobs while its pages cannot overlap',
    advice: 'The next run tries again: a list that stands still is read whole. The log says what was seen.',
  },
  two_lists: {
    meaning: "the API answers with two lists in turn, one of them another account's",
    advice: 'Check SPIDRA_API_URL, and the proxy or load balancer before it.',
  },

  unauthorized: SAID,
  forbidden: SAID,
  payment_required: SAID,
  rejected: SAID,
  network: SAID,
  rate_limited: {
    meaning: null,
    advice: 'Other calls may use up the limit of this address. The next run tries again.',
  },
  server_error: { meaning: null, advice: `${TRIES_AGAIN} If it lasts, report it to Spidra.` },
  bad_payload: { meaning: null, advice: `${TRIES_AGAIN} If it lasts, report it to Spidra.` },
  timeout: { meaning: null, advice: `${TRIES_AGAIN} If it lasts, check the network, or raise REQUEST_TIMEOUT_MS.` },

  unreachable: SAID,
  busy: SAID,
  tls: SAID,
  authentication: SAID,
  no_such_database: SAID,
  too_many_connections: SAID,
  too_old: SAID,
  encoding: SAID,
  no_answer: SAID,
  time_zone: SAID,
  permission: SAID,
  read_only: SAID,
  not_migrated: SAID,
  disk_full: SAID,
  conflict: SAID,
  time_limit: SAID,
  other: { meaning: null, advice: `${TRIES_AGAIN} If it lasts, look into the log of Postgres.` },

  foreign_list: SAID,
  stalled: SAID,
  handed_on: { meaning: 'the run left its account to another worker', advice: CONTINUES },
  worker_lost: { meaning: null, advice: CONTINUES },
  stopped: { meaning: null, advice: CONTINUES },
  internal: {
    meaning: null,
    advice: 'This is a fault of spidra-sync: please report it, with the output of LOG_LEVEL=debug.',
  },
}

/** Explains a reason of a run record. An unknown one, as of a newer version, counts as `internal`. */
export function explainReason(reason: string): Explanation {
  return Object.hasOwn(EXPLANATIONS, reason) ? EXPLANATIONS[reason as RunReason] : EXPLANATIONS.internal
}
