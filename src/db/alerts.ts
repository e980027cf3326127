import type { Database } from './client.js'

/** What an alert can be about. Kinds are stored; an older version may find one that it does not know. */
export type AlertKind = 'runs_failing' | 'key_refused' | 'run_partial' | 'stale' | 'stuck_jobs' | 'rejections'

export type AlertState = 'firing' | 'resolved'

/** The numbers and names behind an alert. */
export type AlertDetails = Readonly<Record<string, string | number | null | readonly string[]>>

/** How things stand with one kind of trouble. */
export interface AlertFinding {
  readonly kind: AlertKind
  readonly state: AlertState
  /** In words. */
  readonly summary: string
  readonly details: AlertDetails
}

/** A state of which the webhook has not been told. */
export interface DueAlert extends Omit<AlertFinding, 'kind'> {
  readonly kind: string
  /** When it was found to have changed. */
  readonly since: Date
}

/** Something that is wrong now. */
export interface FiringAlert {
  readonly kind: string
  readonly since: Date
  readonly summary: string
}

/** Longer than a message may take with all its retries; then its sender counts as dead. */
const CLAIM_SECONDS = 120

/**
 * Notes how things stand at `asOf`. Writes only what changed, and nothing over a state that was seen later, so that of
 * two workers the slower one cannot turn it back.
 */
export async function noteAlerts(
  db: Database,
  account: string,
  findings: readonly AlertFinding[],
  asOf: string,
): Promise<void> {
  await db.$executeRaw`
    INSERT INTO spidra.alerts AS kept (account, kind, state, since, summary, details)
    SELECT ${account}, n.kind, n.state, ${asOf}::timestamptz, n.summary, n.details
    FROM jsonb_to_recordset(${JSON.stringify(findings)}::jsonb) AS n (kind text, state text, summary text, details jsonb)
    LEFT JOIN spidra.alerts k ON k.account = ${account} AND k.kind = n.kind
    WHERE n.state <> coalesce(k.state, 'resolved')
    ORDER BY n.kind
    ON CONFLICT (account, kind) DO UPDATE
    SET state = excluded.state, since = excluded.since, summary = excluded.summary, details = excluded.details
    WHERE kept.state <> excluded.state AND kept.since < excluded.since`
}

/** Takes the messages that are due, so that no other worker sends them; one that dies with them loses them again. */
export async function claimAlerts(db: Database, account: string, worker: string): Promise<readonly DueAlert[]> {
  return await db.$queryRaw<DueAlert[]>`
    UPDATE spidra.alerts
    SET claimed_by = ${worker}, claimed_until = now() + make_interval(secs => ${CLAIM_SECONDS})
    WHERE account = ${account} AND told_state <> state AND (claimed_until IS NULL OR claimed_until < now())
    RETURNING kind, state, since, summary, details`
}

/** Ends a claim: the webhook was told of `state`. */
export async function noteTold(db: Database, account: string, worker: string, told: DueAlert): Promise<void> {
  await db.$executeRaw`
    UPDATE spidra.alerts
    SET told_state = ${told.state}, told_at = now(), claimed_by = NULL, claimed_until = NULL
    WHERE account = ${account} AND kind = ${told.kind} AND claimed_by = ${worker}`
}

/** Ends a claim without success: the message is due again. */
export async function releaseAlert(db: Database, account: string, worker: string, kind: string): Promise<void> {
  await db.$executeRaw`
    UPDATE spidra.alerts SET claimed_by = NULL, claimed_until = NULL
    WHERE account = ${account} AND kind = ${kind} AND claimed_by = ${worker}`
}

/** What is wrong now, longest first. */
export async function readFiringAlerts(db: Database, account: string): Promise<readonly FiringAlert[]> {
  return await db.alert.findMany({
    where: { account, state: 'firing' },
    orderBy: [{ since: 'asc' }, { kind: 'asc' }],
    select: { kind: true, since: true, summary: true },
  })
}
