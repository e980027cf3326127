import { z } from 'zod'
import { isPrintable } from '../logging/printable.js'
import type { Config } from './config.js'
import type { Environment } from './names.js'
import { apiKey, apiUrl, flag, pagesPerRun, schedule } from './variables.js'

/** What stands in for what an entry leaves out. */
export type EntryDefaults = Pick<Config<string | null>, 'spidra' | 'pagesPerRun' | 'schedule'>

/** The field is empty where the entry itself is meant. */
export interface EntryProblem {
  readonly field: string
  readonly problem: string
}

/** What one entry of the accounts file says. */
export type Entry = ReturnType<ReturnType<typeof createEntryReader>>

const text = z.string({ error: 'must be a text' })

const accountName = z
  .string({ error: 'is required, and must be a text' })
  .refine(
    (given) => given.length > 0 && given.length <= 100 && isPrintable(given) && given.trim() === given,
    'must be 1 to 100 printable characters, without a space at either end',
  )

/** JSON has numbers, for which the rules of the environment hold too. */
const textOrNumber = z.preprocess(
  (given) => (typeof given === 'number' ? String(given) : given),
  z.string({ error: 'must be a number' }),
)

/** Makes what reads entries by the rules of the environment. */
export function createEntryReader(defaults: EntryDefaults, env: Environment) {
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
    schedule: text.pipe(schedule).default(defaults.schedule.sync),
  })
  const known = Object.keys(schema.shape).join(', ')
  return (entry: unknown) => {
    const { data, error } = schema.safeParse(entry)
    const problems = [...(error?.issues ?? []).flatMap((issue) => toProblems(issue, known)), ...problemsOfKeys(entry)]
    return {
      name: nameOf(entry),
      account: data === undefined ? null : toAccount(data, fieldsOf(entry).get('apiKeyEnv')),
      problems: firstOfEach(problems),
    }
  }
}

const keyOfVariable = z
  .string({ error: 'names a variable that is not set' })
  .regex(/^[\x21-\x7e]+$/, 'names a variable whose value must be printable ASCII without spaces')

function valueIn(env: Environment, variable: string): string | undefined {
  const value = Object.hasOwn(env, variable) ? env[variable] : undefined
  return value === '' ? undefined : value
}

interface ParsedEntry {
  readonly name: string
  readonly apiKey?: string | undefined
  /** The value of the variable. */
  readonly apiKeyEnv?: string | undefined
}

function toAccount<Rest>({ apiKey, apiKeyEnv, ...rest }: Rest & ParsedEntry, variable: unknown) {
  const place = typeof variable === 'string' ? `variable ${variable}` : 'in SPIDRA_ACCOUNTS_FILE'
  return { ...rest, apiKey: apiKey ?? apiKeyEnv ?? '', keyOrigin: `the key of account ${rest.name} (${place})` }
}

function fieldsOf(entry: unknown): ReadonlyMap<string, unknown> {
  const isObject = typeof entry === 'object' && entry !== null && !Array.isArray(entry)
  return new Map(isObject ? Object.entries(entry) : [])
}

function nameOf(entry: unknown): string | null {
  return accountName.safeParse(fieldsOf(entry).get('name')).data ?? null
}

function problemsOfKeys(entry: unknown): readonly EntryProblem[] {
  const fields = fieldsOf(entry)
  const count = ['apiKey', 'apiKeyEnv'].filter((field) => fields.has(field)).length
  if (fields.size === 0 || count === 1) return []
  const problem = count === 0 ? 'needs apiKey, or apiKeyEnv' : 'has apiKey and apiKeyEnv: leave one out'
  return [{ field: '', problem }]
}

/** A misspelt field would be ignored in silence. What has other characters than field names have may be a key. */
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

/** The first problem of a field is the one to mend; of the entry itself, each. */
function firstOfEach(problems: readonly EntryProblem[]): readonly EntryProblem[] {
  return problems.filter(
    ({ field }, index) => field === '' || problems.findIndex((other) => other.field === field) === index,
  )
}
