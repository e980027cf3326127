import { createEntryReader, type Entry, type EntryDefaults, type EntryProblem } from './account-entry.js'
import { type AccountsFile, keysIn, variablesNamedIn } from './accounts-file.js'
import { ConfigError, type ConfigProblem } from './config-error.js'
import type { Environment } from './config-names.js'
import { warningsIfOpenToAll } from './env-file.js'

/** One Spidra account to sync. */
export interface Account {
  readonly name: string
  readonly apiKey: string
  /** Where the key comes from, for people: `SPIDRA_API_KEY`, or the account and its place in or beside the file. */
  readonly keyOrigin: string
  /** Without a slash at the end. */
  readonly apiUrl: string
  readonly pagesPerRun: number
  /** Cron of incremental runs; null for none. */
  readonly schedule: string | null
}

/** Where accounts come from. */
export interface AccountSources {
  /** The key of the environment, and what an entry leaves out. */
  readonly config: EntryDefaults
  /** Null: there is only the key of the environment. */
  readonly file: AccountsFile | null
  /** Holds the variables that the file names. */
  readonly env: Environment
  /** What the account of `SPIDRA_API_KEY` is called where there is no file. */
  readonly name: string
}

/** The name of the account of `SPIDRA_API_KEY`, unless somebody gives it another. */
export const DEFAULT_ACCOUNT = 'default'

/**
 * All accounts: those of the file, and the one of `SPIDRA_API_KEY`, which is called `default` beside a file. None where
 * there is neither. Throws `ConfigError` with every fault of the file at once; no fault shows a value.
 */
export function readAccounts({ config, file, env, name }: AccountSources): {
  readonly accounts: readonly Account[]
  readonly warnings: readonly string[]
} {
  if (file === null) return { accounts: accountsOfKey(config, name), warnings: [] }
  const listed = accountsOf(file, config, env)
  const isNamed = variablesNamedIn(file).includes('SPIDRA_API_KEY')
  const ofKey = isNamed ? [] : accountsOfKey(config, DEFAULT_ACCOUNT)
  const isTaken = listed.some((account) => account.name === DEFAULT_ACCOUNT)
  const accounts = isTaken ? listed : [...ofKey, ...listed]
  const warnings = [
    ...(isTaken && ofKey.length > 0
      ? [`SPIDRA_API_KEY is not used: the accounts file has an account called ${DEFAULT_ACCOUNT}, and it wins`]
      : []),
    ...warningsAboutTwins(accounts),
    ...(keysIn(file).length > 0 ? warningsIfOpenToAll(file.path) : []),
  ]
  return { accounts: Object.freeze(accounts), warnings }
}

function accountsOfKey({ spidra, pagesPerRun, schedule }: EntryDefaults, name: string): Account[] {
  const { apiKey, keyOrigin, apiUrl } = spidra
  return apiKey === null
    ? []
    : [Object.freeze({ name, apiKey, keyOrigin, apiUrl, pagesPerRun, schedule: schedule.sync })]
}

/** Two accounts that are one: the jobs would belong to the one that ran last. */
function warningsAboutTwins(accounts: readonly Account[]): readonly string[] {
  return accounts.flatMap((account, index) => {
    const twin = accounts
      .slice(0, index)
      .find(({ apiKey, apiUrl }) => apiKey === account.apiKey && apiUrl === account.apiUrl)
    return twin === undefined
      ? []
      : [`accounts ${twin.name} and ${account.name} have the same key: every run moves the jobs from one to the other`]
  })
}

function accountsOf(file: AccountsFile, config: EntryDefaults, env: Environment): readonly Account[] {
  const fileProblem = file.problem ?? problemOfList(file.content)
  if (fileProblem !== null) throw new ConfigError([{ variable: 'SPIDRA_ACCOUNTS_FILE', problem: fileProblem }])
  const content: readonly unknown[] = Array.isArray(file.content) ? file.content : []
  const entries = content.map(createEntryReader(config, env))
  const problems = [
    ...entries.flatMap((entry, index) => entry.problems.map((problem) => located(problem, index, entry))),
    ...problemsOfNames(entries),
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
    return name === null || first === index
      ? []
      : [located({ field: 'name', problem: `is that of entry ${first} too` }, index, { name })]
  })
}

/** Entries are counted from 0, as JSON tools do. */
function located({ field, problem }: EntryProblem, index: number, { name }: Pick<Entry, 'name'>): ConfigProblem {
  const place = `SPIDRA_ACCOUNTS_FILE[${index}]${field === '' ? '' : `.${field}`}`
  return { variable: place, problem: name === null ? problem : `${problem} (account ${name})` }
}
