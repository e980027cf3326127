import { createEntryReader, type Entry, type EntryDefaults, type EntryProblem } from './account-entry.js'
import { type AccountsFile, keysIn, variablesNamedIn } from './accounts-file.js'
import { warningsIfOpenToAll } from './env-file.js'
import { ConfigError, type ConfigProblem } from './errors.js'
import type { Environment } from './names.js'

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
}

/** The name of the account of `SPIDRA_API_KEY`. */
export const DEFAULT_ACCOUNT = 'default'

/**
 * All accounts: those of the file, and the one of `SPIDRA_API_KEY`, which is called `default`. None where there is neither.
 * Throws `ConfigError` with every fault of the file at once; no fault shows a value.
 */
export function readAccounts({ config, file, env }: AccountSources): {
  readonly accounts: readonly Account[]
  readonly warnings: readonly string[]
} {
  if (file === null) return { accounts: accountsOfKey(config), warnings: [] }
  const listed = accountsOf(file, config, env)
  const isNamed = variablesNamedIn(file).includes('SPIDRA_API_KEY')
  const ofKey = isNamed ? [] : accountsOfKey(config)
  const isTaken = listed.some((account) => account.name === DEFAULT_ACCOUNT)
  const twin = isTaken ? undefined : listed.find((account) => ofKey.some((one) => haveOneList(one, account)))
  if (twin !== undefined) {
    const problem = `is the key of account ${twin.name} in SPIDRA_ACCOUNTS_FILE too: unset it, or name it there as apiKeyEnv`
    throw new ConfigError([{ variable: 'SPIDRA_API_KEY', problem }])
  }
  const accounts = isTaken ? listed : [...ofKey, ...listed]
  const warnings = [
    ...(isTaken && ofKey.length > 0
      ? [`SPIDRA_API_KEY is not used: the accounts file has an account called ${DEFAULT_ACCOUNT}, and it wins`]
      : []),
    ...(keysIn(file).length > 0 ? warningsIfOpenToAll(file.path) : []),
  ]
  return { accounts: Object.freeze(accounts), warnings }
}

function accountsOfKey({ spidra, pagesPerRun, schedule }: EntryDefaults): Account[] {
  const { apiKey, keyOrigin, apiUrl } = spidra
  const name = DEFAULT_ACCOUNT
  return apiKey === null
    ? []
    : [Object.freeze({ name, apiKey, keyOrigin, apiUrl, pagesPerRun, schedule: schedule.sync })]
}

/** Whether two accounts are one: every run would move all jobs from one name to the other. */
function haveOneList(one: Pick<Account, 'apiKey' | 'apiUrl'>, other: Pick<Account, 'apiKey' | 'apiUrl'>): boolean {
  return one.apiKey === other.apiKey && one.apiUrl === other.apiUrl
}

function accountsOf(file: AccountsFile, config: EntryDefaults, env: Environment): readonly Account[] {
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
    return name === null || first === index
      ? []
      : [located({ field: 'name', problem: `is that of entry ${first} too` }, index, { name })]
  })
}

function problemsOfKeys(entries: readonly Entry[]): ConfigProblem[] {
  return entries.flatMap(({ account }, index) => {
    if (account === null) return []
    const first = entries.findIndex((entry) => entry.account !== null && haveOneList(entry.account, account))
    const problem = `has the key of entry ${first} too: an account is listed once`
    return first === index ? [] : [located({ field: '', problem }, index, account)]
  })
}

/** Entries are counted from 0, as JSON tools do. */
function located({ field, problem }: EntryProblem, index: number, { name }: Pick<Entry, 'name'>): ConfigProblem {
  const place = `SPIDRA_ACCOUNTS_FILE[${index}]${field === '' ? '' : `.${field}`}`
  return { variable: place, problem: name === null ? problem : `${problem} (account ${name})` }
}
