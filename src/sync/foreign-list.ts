import type { ListSource } from '../config/accounts.js'
import { PAGE_LIMIT } from '../config/scale.js'
import { countLiveJobs, readNewestCreatedAt } from '../db/batch-jobs-read.js'
import type { Database } from '../db/client.js'
import { findStoredAccounts, hasJobs, ownerOf, type StoredAccount, saveListSource } from '../db/stored-accounts.js'
import { counted } from '../logging/printable.js'
import type { SpidraClient } from '../spidra/client.js'
import { type Micros, toMicros } from './instant.js'
import { faultOf, type Page, toPage } from './page.js'

const NOTHING_STORED = 'Nothing was stored.'
const HOW_TO_RENAME = 'to rename the stored account, follow "Renaming an account" in docs/operations.md'

/** The key and URL lead to another account's list. Nothing of it was stored. */
export class ForeignListError extends Error {
  override readonly name = 'ForeignListError'
  readonly code = 'foreign_list'
}

export interface OwnListOptions {
  readonly db: Database
  readonly client: SpidraClient
  readonly account: string
  readonly source: ListSource
  readonly signal: AbortSignal
}

/**
 * Makes sure that key and URL open the account's own list, before anything of it is merged: else a wrong setting would
 * store the jobs of one account under the name of another one, or mark them as removed. A run with the key and the URL of
 * the last one passes without a request.
 *
 * Another key, another URL or another name passes if the list holds a job that is stored for the account, or if none is
 * stored for it and the pages that are read hold none of another account. Page 1 almost always tells. Where it is all new,
 * so does the last page, or the page on which the newest stored job must stand.
 *
 * @throws ForeignListError for a list that is not the account's own; SpidraError when a page could not be had.
 */
export async function assertOwnList(options: OwnListOptions): Promise<void> {
  const { db, account, source } = options
  const stored = await findStoredAccounts(db, account, source)
  const before = stored.find((one) => one.account === account)
  if (before?.fingerprint === source.fingerprint) return
  const user = userOf(source, account, stored)
  if (user !== null) throw new ForeignListError(`${source.keyOrigin} ${usedFor(account, user)} ${NOTHING_STORED}`)
  if (await hasJobs(db)) await assertHoldsOwnJobs(options, before ?? null)
  if (await saveListSource(db, account, source)) return
  throw new ForeignListError(`Another account began to use ${source.keyOrigin} just now. ${NOTHING_STORED}`)
}

/** The other account that was last read with this key and URL; null where there is none. */
export function userOf(source: ListSource, account: string, stored: readonly StoredAccount[]): string | null {
  const user = stored.find((one) => one.fingerprint === source.fingerprint && one.account !== account)
  return user?.account ?? null
}

/** Says which account a key belongs to, and what to do. */
export function usedFor(account: string, user: string): string {
  return `is the key of the stored account "${user}", and cannot be that of "${account}" too: use the name "${user}", or, ${HOW_TO_RENAME}.`
}

async function assertHoldsOwnJobs(
  { db, client, account, source, signal }: OwnListOptions,
  before: StoredAccount | null,
): Promise<void> {
  const { keyOrigin } = source
  const live = await countLiveJobs(db, account)
  const newest = await readNewestCreatedAt(db, account)
  for await (const page of pagesToIdentifyOwner(client, newest === null ? null : toMicros(newest), signal)) {
    const owner = await ownerOf(db, [...page.uuids], account)
    if (owner === account) return
    if (owner !== null) {
      throw new ForeignListError(
        `The list of account "${account}" (${keyOrigin}) holds jobs that are stored for "${owner}": both names stand for one list. ${NOTHING_STORED} Use the name "${owner}", or, ${HOW_TO_RENAME}.`,
      )
    }
  }
  if (live === 0) return
  throw new ForeignListError(
    `The list of account "${account}" holds none of the ${counted(live, 'job')} stored for it. ${changeSince(before, source)}${NOTHING_STORED} Check the key, the URL of the API and DATABASE_URL. If it is another account, give it another name in SPIDRA_ACCOUNTS_FILE; if it takes the place of the stored one, ${HOW_TO_RENAME}.`,
  )
}

/** What has changed since the last run, as far as that is known. */
function changeSince(before: StoredAccount | null, { apiUrl, keyOrigin }: ListSource): string {
  if (before === null || before.apiUrl === null) return ''
  return before.apiUrl === apiUrl
    ? `${keyOrigin} is not the key of the last run. `
    : `They were read from ${before.apiUrl}, and now ${apiUrl} is asked. `
}

/** Page 1, the last page, and those of the search for the place of the newest stored job, where there is one. */
async function* pagesToIdentifyOwner(
  client: SpidraClient,
  newestStored: Micros | null,
  signal: AbortSignal,
): AsyncGenerator<Page> {
  const ask = async (page: number) => {
    // A smaller page size is accepted.
    const answer = await client.listPage({
      page,
      limit: PAGE_LIMIT,
      signal,
      faultOf: (given) => faultOf(given, { page, limit: given.pagination.limit }),
    })
    return toPage({ number: page, limit: answer.pagination.limit }, answer)
  }
  const first = await ask(1)
  yield first
  if (first.totalPages <= 1) return
  yield await ask(first.totalPages)
  if (newestStored === null) return
  let above = 1
  let below = first.totalPages
  while (below - above > 1) {
    const middle = (above + below) >> 1
    const page = await ask(middle)
    yield page
    if (page.oldest === null || page.oldest <= newestStored) below = middle
    else above = middle
  }
}
