import { toListSource } from '../../config/accounts.js'
import type { Config } from '../../config/config.js'
import { TIMING } from '../../config/scale.js'
import type { ReadOnlyConnection } from '../../db/read-only.js'
import { formatDuration, formatNumber } from '../../logging/printable.js'
import { toInstant } from '../../report/format.js'
import { usedFor, userOf } from '../../sync/foreign-list.js'
import { explainReason } from '../../sync/reasons.js'
import { type Finding, fail, ok, skip, warn } from './check.js'

/** Checks that key and URL are those that the stored jobs were read with. */
export async function checkSource(
  connection: ReadOnlyConnection,
  account: string,
  { apiUrl, apiKey, keyOrigin }: Config<string | null>['spidra'],
): Promise<Finding> {
  if (apiKey === null) return skip('There is no key.')
  const source = toListSource({ apiUrl, apiKey, keyOrigin })
  const { rows } = await connection.query<{ account: string; apiUrl: string | null; fingerprint: string | null }>(
    `SELECT account, api_url AS "apiUrl", source_fingerprint AS fingerprint FROM spidra.sync_state
     WHERE account = $1 OR source_fingerprint = $2`,
    [account, source.fingerprint],
  )
  const user = userOf(source, account, rows)
  if (user !== null) return fail(`${keyOrigin} ${usedFor(account, user)}`)
  const before = rows.find((row) => row.account === account)?.fingerprint ?? null
  if (before === null) return ok('No run has stored its key yet.')
  if (before === source.fingerprint) return ok('Key and URL are those of the last run.')
  return warn(
    'Key or URL are not those of the last run.',
    'Nothing, if this is intended: the next run stores nothing unless the list has the stored jobs.',
  )
}

interface RunningRun {
  readonly worker: string
  readonly startedAt: Date
  readonly silentSeconds: number
}

const READ_RUNNING = `
  SELECT worker, started_at AS "startedAt",
    extract(epoch FROM greatest(now(), heartbeat_at) - heartbeat_at)::double precision AS "silentSeconds"
  FROM spidra.sync_runs WHERE account = $1 AND status = 'running' ORDER BY id DESC LIMIT 1`

/** Checks whether a worker runs the account, and is alive. */
export async function checkLease(connection: ReadOnlyConnection, account: string): Promise<Finding> {
  const { rows } = await connection.query<RunningRun & Record<string, unknown>>(READ_RUNNING, [account])
  const [run] = rows
  if (run === undefined) return ok(`Nobody is running account ${account}.`)
  const held = `Account ${account} is being run by ${run.worker} since ${toInstant(run.startedAt.toISOString())}`
  const silent = Math.round(run.silentSeconds)
  if (silent <= TIMING.deadAfterMs / 1000) return ok(`${held}; last heartbeat ${formatDuration(silent)} ago.`)
  return warn(
    `${held}; no heartbeat for ${formatDuration(silent)}.`,
    'Nothing: the next run closes that one and takes over. If this does not change, check that the service is running.',
  )
}

interface LastRun {
  readonly id: string
  readonly status: string
  readonly reason: string | null
  readonly message: string | null
  readonly startedAt: Date
}

/** @param said details of other checks: an error message that is in one of them is not repeated */
export async function checkRuns(
  connection: ReadOnlyConnection,
  account: string,
  said: readonly string[],
): Promise<Finding> {
  const { rows } = await connection.query<LastRun & Record<string, unknown>>(
    `SELECT id::text, status, coalesce(status_reason, error_code) AS reason, error_message AS message,
       started_at AS "startedAt"
     FROM spidra.sync_runs WHERE account = $1 ORDER BY started_at DESC, id DESC LIMIT 1`,
    [account],
  )
  const [last] = rows
  if (last === undefined) return warn('No run yet.', 'Run `spidra-sync start`, or once `spidra-sync sync`.')
  const ending = `Run ${last.id} of ${toInstant(last.startedAt.toISOString())}: ${last.status}`
  if (last.status === 'complete' || last.status === 'running') return ok(`${ending}.`)
  const { reason, message } = last
  const { meaning, advice } = explainReason(reason ?? 'internal')
  const isSaid = message !== null && said.some((detail) => detail.includes(message))
  const why = [reason, isSaid ? null : (meaning ?? message)].filter((part) => part !== null).join(': ')
  // Nothing short of a write shows that a disk is full, and this check writes nothing.
  const judge = reason === 'disk_full' ? fail : warn
  return judge(`${ending}${why && ` (${why})`}.`, advice ?? 'docs/operations.md explains what to do for each reason.')
}

/** @param staleMinutes how old the last complete run may be */
export async function checkFreshness(
  connection: ReadOnlyConnection,
  { account, staleMinutes }: { readonly account: string; readonly staleMinutes: number },
): Promise<Finding> {
  const { rows } = await connection.query<{ completeAt: Date | null; lagSeconds: number | null }>(
    `SELECT last_complete_at AS "completeAt",
       extract(epoch FROM greatest(now(), last_complete_at) - last_complete_at)::double precision AS "lagSeconds"
     FROM spidra.sync_state WHERE account = $1`,
    [account],
  )
  const { completeAt = null, lagSeconds = null } = rows[0] ?? {}
  if (completeAt === null || lagSeconds === null) {
    return warn(
      `Account ${account} has never been complete.`,
      'Wait for the first pass to end; `spidra-sync status` shows its progress.',
    )
  }
  const found = `Complete as of ${toInstant(completeAt.toISOString())}, ${formatDuration(lagSeconds)} ago.`
  if (lagSeconds <= staleMinutes * 60) return ok(found)
  return fail(
    `${found} More than ${formatDuration(staleMinutes * 60)} (ALERT_STALE_MINUTES).`,
    'Start the service, or check why its runs do not end complete.',
  )
}

export async function checkRejections(connection: ReadOnlyConnection, account: string): Promise<Finding> {
  const { rows } = await connection.query<{ open: number; reason: string | null }>(
    `SELECT coalesce(sum(copies), 0)::integer AS open, min(reason) AS reason
     FROM spidra.rejected_jobs WHERE account = $1 AND resolved_at IS NULL`,
    [account],
  )
  const { open = 0, reason = null } = rows[0] ?? {}
  if (open === 0) return ok('None: every listed item is stored as a job.')
  return warn(
    `Listed items that could not be stored as jobs: ${formatNumber(open)}, such as: ${reason}`,
    'They are kept: SELECT reason, payload FROM spidra.rejected_jobs WHERE resolved_at IS NULL. Report them to Spidra, or to us.',
  )
}
