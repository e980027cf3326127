import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { z } from 'zod'
import { errorCodeOf } from '../logging/error-code.js'
import { isPrintable } from '../logging/printable.js'
import type { Config } from './config.js'
import { warningsIfOpenToAll } from './env-file.js'
import { ConfigError, type ConfigProblem } from './errors.js'
import { apiKey, apiUrl, type Environment, flag, pagesPerRun, resultsMode, schedule } from './variables.js'

/** One Spidra account to sync. */
export interface Account {
  readonly name: string
  readonly apiKey: string
  /** Where the key comes from, for messages: `SPIDRA_API_KEY`, or the account and its place in the accounts file. */
  readonly keyOrigin: string
  /** Without a slash at the end. */
  readonly apiUrl: string
  readonly pagesPerRun: number
  /** What is kept of each batch; null: nothing. */
  readonly results: Config['results']
  /** Cron expression of the incremental runs; null for none. */
  readonly schedule: string | null
}

/** The name of the account of `SPIDRA_API_KEY`. */
export const DEFAULT_ACCOUNT = 'default'

/** The API URL and the key that a list of jobs is read with. */
export interface ListSource {
  readonly apiUrl: string
  readonly keyOrigin: string
  /** Hash of URL and key: shows whether they have changed, and does not reveal them. */
  readonly fingerprint: string
}

/** Half a SHA-256, in hexadecimal digits. */
const FINGERPRINT_DIGITS = 32

export function toListSource({
  apiUrl,
  apiKey,
  keyOrigin,
}: Pick<Account, 'apiUrl' | 'apiKey' | 'keyOrigin'>): ListSource {
  const digest = createHash('sha256').update(`${apiUrl}\n${apiKey}`).digest('hex')
  return { apiUrl, keyOrigin, fingerprint: digest.slice(0, FINGERPRINT_DIGITS) }
}

/** A file of a thousand accounts is smaller. A larger one is some other file. */
const MAX_FILE_BYTES = 1_000_000

/** The file of `SPIDRA_ACCOUNTS_FILE`, read and not yet checked. */
export interface AccountsFile {
  readonly path: string
  /** The parsed JSON; undefined when there is none. */
  readonly content: unknown
  /** Why the file cannot be read; null when it can. */
  readonly problem: string | null
}

/** Reads the file that the variable names; null when it is not set. Never throws, and no problem quotes the file. */
export function readAccountsFile(env: Environment): AccountsFile | null {
  const path = env.SPIDRA_ACCOUNTS_FILE
  if (!path) return null
  const faulty = (problem: string) => ({ path, content: undefined, problem })
  let text: string
  try {
    const found = statSync(path)
    // A pipe may never end, and a device has no size. Reading a directory fails below.
    if (!found.isFile() && !found.isDirectory()) return faulty('is not a regular file')
    if (found.size > MAX_FILE_BYTES) return faulty('is larger than 1 MB')
    text = readFileSync(path, 'utf8').replace(/^\uFEFF/, '')
  } catch (error) {
    const code = errorCodeOf(error) ?? 'unknown error'
    return faulty(code === 'ENOENT' ? 'names a file that does not exist' : `names a file that cannot be read (${code})`)
  }
  try {
    return { path, content: JSON.parse(text), problem: null }
  } catch {
    // The message of JSON.parse quotes the text, which holds keys.
    return faulty('names a file that is not JSON: check for an extra comma or a missing quote')
  }
}

/** Every key in the file, valid or not. */
export function keysIn(file: AccountsFile | null): readonly string[] {
  return textsOf(file, 'apiKey')
}

/** The environment variables that the file takes keys from. */
export function variablesNamedIn(file: AccountsFile | null): readonly string[] {
  return textsOf(file, 'apiKeyEnv')
}

function textsOf(file: AccountsFile | null, field: 'apiKey' | 'apiKeyEnv'): readonly string[] {
  const entries: readonly unknown[] = Array.isArray(file?.content) ? file.content : [file?.content]
  return entries.flatMap((entry) => {
    const value = fieldsOf(entry).get(field)
    return typeof value === 'string' && value !== '' ? [value] : []
  })
}

/** The settings that an entry of the file may leave out, and the key of the environment. */
type Defaults = Pick<Config<string | null>, 'spidra' | 'pagesPerRun' | 'results' | 'schedule'>

/**
 * Lists all accounts: those of the file, and the one of `SPIDRA_API_KEY`, named `default`. Without both the list is empty.
 *
 * @param sources `file` null: only the key of the environment counts. `env` holds the variables that the file names.
 * @throws {ConfigError} with every problem of the file at once; no problem shows a value.
 */
export function readAccounts(sources: {
  readonly config: Defaults
  readonly file: AccountsFile | null
  readonly env: Environment
}): { readonly accounts: readonly Account[]; readonly warnings: readonly string[] } {
  const { config, file, env } = sources
  if (file === null) return { accounts: accountsOfKey(config), warnings: [] }
  const listed = accountsOf(file, config, env)
  const isNamed = variablesNamedIn(file).includes('SPIDRA_API_KEY')
  const ofKey = isNamed ? [] : accountsOfKey(config)
  const isTaken = listed.some((account) => account.name === DEFAULT_ACCOUNT)
  const twin = isTaken ? undefined : listed.find((account) => ofKey.some((one) => haveOneKey(one, account)))
  if (twin !== undefined) {
    const problem = `is also the key of account ${twin.name} in SPIDRA_ACCOUNTS_FILE, and cannot be that of account ${DEFAULT_ACCOUNT} too: unset it, or name it there as apiKeyEnv`
    throw new ConfigError([{ variable: 'SPIDRA_API_KEY', problem }])
  }
  const accounts = isTaken ? listed : [...ofKey, ...listed]
  const warnings = [
    ...(isTaken && ofKey.length > 0
      ? [
          `SPIDRA_API_KEY is not used: the accounts file has an account named ${DEFAULT_ACCOUNT}, which takes precedence`,
        ]
      : []),
    ...(keysIn(file).length > 0 ? warningsIfOpenToAll(file.path) : []),
  ]
  return { accounts: Object.freeze(accounts), warnings }
}

function accountsOfKey({ spidra, pagesPerRun, results, schedule }: Defaults): Account[] {
  const { apiKey, keyOrigin, apiUrl } = spidra
  if (apiKey === null) return []
  return [
    Object.freeze({ name: DEFAULT_ACCOUNT, apiKey, keyOrigin, apiUrl, pagesPerRun, results, schedule: schedule.sync }),
  ]
}

/**
 * Whether two accounts have one key. It opens one list, by whatever address that is reached, so every run would move all jobs
 * from one name to the other.
 */
function haveOneKey(one: Pick<Account, 'apiKey'>, other: Pick<Account, 'apiKey'>): boolean {
  return one.apiKey === other.apiKey
}

function accountsOf(file: AccountsFile, config: Defaults, env: Environment): readonly Account[] {
  const fileProblem = file.problem ?? problemOfList(file.content)
  if (fileProblem !== null) throw new ConfigError([{ variable: 'SPIDRA_ACCOUNTS_FILE', problem: fileProblem }])
  const content: readonly unknown[] = Array.isArray(file.content) ? file.content : []
  const entries = content.map(createEntryReader(config, env))
  const problems = [
    ...entries.flatMap((entry, index) => entry.problems.map((problem) => located(problem, index, entry))),
    ...problemsOfNames(entries),
    ...problemsOfKeys(entries),
  ]
  if (problems.length > 0) throw new ConfigError(problems)
  return entries.flatMap(({ account }) => (account === null ? [] : [Object.freeze(account)]))
}

function problemOfList(content: unknown): string | null {
  if (!Array.isArray(content)) return 'must hold a list: [{ "name": "...", "apiKey": "..." }]'
  return content.length === 0 ? 'holds an empty list: name at least one account' : null
}

function problemsOfNames(entries: readonly Entry[]): ConfigProblem[] {
  return entries.flatMap(({ name }, index) => {
    const first = entries.findIndex((entry) => entry.name === name)
    if (name === null || first === index) return []
    return [located({ field: 'name', problem: `is also the name of entry ${first}` }, index, { name })]
  })
}

function problemsOfKeys(entries: readonly Entry[]): ConfigProblem[] {
  return entries.flatMap(({ account }, index) => {
    if (account === null) return []
    const first = entries.findIndex((entry) => entry.account !== null && haveOneKey(entry.account, account))
    const problem = `has the same key as entry ${first}, account ${entries[first]?.name}: list each account once`
    return first === index ? [] : [located({ field: '', problem }, index, account)]
  })
}

/** Names the place of a problem. Entries are counted from 0, as JSON tools do. */
function located({ field, problem }: EntryProblem, index: number, { name }: Pick<Entry, 'name'>): ConfigProblem {
  const place = `SPIDRA_ACCOUNTS_FILE[${index}]${field === '' ? '' : `.${field}`}`
  return { variable: place, problem: name === null ? problem : `${problem} (account ${name})` }
}

interface EntryProblem {
  /** Empty for a problem of the entry itself. */
  readonly field: string
  readonly problem: string
}

/** One parsed entry of the accounts file. */
interface Entry {
  /** Null when it cannot be used. */
  readonly name: string | null
  /** Null when the entry has problems. */
  readonly account: Account | null
  readonly problems: readonly EntryProblem[]
}

const text = z.string({ error: 'must be a text' })

const accountName = z
  .string({ error: 'is required, and must be a text' })
  .refine(
    (given) => given.length > 0 && given.length <= 100 && isPrintable(given) && given.trim() === given,
    'must be 1 to 100 printable characters, without a space at either end',
  )

/** Converts a JSON number to text, so that the rule of the environment variable applies. */
const textOrNumber = z.preprocess(
  (given) => (typeof given === 'number' ? String(given) : given),
  z.string({ error: 'must be a number' }),
)

const keyOfVariable = z
  .string({ error: 'names a variable that is not set' })
  .regex(/^[\x21-\x7e]+$/, 'names a variable whose value must be printable ASCII without spaces')

/** Creates the parser of one entry. A field has the same rule as its environment variable. */
function createEntryReader(defaults: Defaults, env: Environment): (entry: unknown) => Entry {
  const allowHttp = flag.safeParse(env.SPIDRA_API_ALLOW_HTTP).data === true
  const schema = z.strictObject({
    name: accountName,
    apiKey: text.pipe(apiKey).optional(),
    apiKeyEnv: text
      .transform((variable) => valueIn(env, variable))
      .pipe(keyOfVariable)
      .optional(),
    apiUrl: text.pipe(apiUrl(allowHttp)).default(defaults.spidra.apiUrl),
    pagesPerRun: textOrNumber.pipe(pagesPerRun).default(defaults.pagesPerRun),
    results: text.pipe(resultsMode).default(defaults.results),
    schedule: text.pipe(schedule).default(defaults.schedule.sync),
  })
  const known = Object.keys(schema.shape).join(', ')
  return (entry) => {
    const fields = fieldsOf(entry)
    const { data, error } = schema.safeParse(entry)
    const problems = [
      ...(error?.issues ?? []).flatMap((issue) => toProblems(issue, known)),
      ...problemsOfKeyFields(fields),
    ]
    return {
      name: accountName.safeParse(fields.get('name')).data ?? null,
      account: data === undefined ? null : toAccount(data, fields.get('apiKeyEnv')),
      problems: firstOfEachField(problems),
    }
  }
}

function valueIn(env: Environment, variable: string): string | undefined {
  const value = Object.hasOwn(env, variable) ? env[variable] : undefined
  return value === '' ? undefined : value
}

interface ParsedEntry extends Omit<Account, 'apiKey' | 'keyOrigin'> {
  readonly apiKey?: string | undefined
  /** The value of the variable that the entry names. */
  readonly apiKeyEnv?: string | undefined
}

function toAccount({ apiKey, apiKeyEnv, ...rest }: ParsedEntry, variable: unknown): Account {
  const place = typeof variable === 'string' ? `variable ${variable}` : 'in SPIDRA_ACCOUNTS_FILE'
  return { ...rest, apiKey: apiKey ?? apiKeyEnv ?? '', keyOrigin: `the key of account ${rest.name} (${place})` }
}

function fieldsOf(entry: unknown): ReadonlyMap<string, unknown> {
  const isObject = typeof entry === 'object' && entry !== null && !Array.isArray(entry)
  return new Map(isObject ? Object.entries(entry) : [])
}

function problemsOfKeyFields(fields: ReadonlyMap<string, unknown>): readonly EntryProblem[] {
  const given = ['apiKey', 'apiKeyEnv'].filter((field) => fields.has(field))
  if (fields.size === 0 || given.length === 1) return []
  const problem = given.length === 0 ? 'needs apiKey, or apiKeyEnv' : 'has apiKey and apiKeyEnv: leave one out'
  return [{ field: '', problem }]
}

/**
 * Converts an issue of zod. An unknown field is a problem too, because a misspelt one would be ignored silently. It is
 * named only when it looks like a field name: anything else may be a key.
 */
function toProblems(issue: z.core.$ZodIssue, known: string): readonly EntryProblem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      field: '',
      problem: `has ${/^[A-Za-z_-]{1,30}$/.test(key) ? `the field ${key}` : 'a field'}, which is none of ${known}`,
    }))
  }
  const field = String(issue.path[0] ?? '')
  return [{ field, problem: field === '' ? 'must be an object with name and apiKey' : issue.message }]
}

/** Keeps the first problem of each field, since the others often follow from it; all problems of the entry itself stay. */
function firstOfEachField(problems: readonly EntryProblem[]): readonly EntryProblem[] {
  return problems.filter(
    ({ field }, index) => field === '' || problems.findIndex((other) => other.field === field) === index,
  )
}
