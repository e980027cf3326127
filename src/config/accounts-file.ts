import { readFileSync, statSync } from 'node:fs'
import { errorCodeOf } from '../logging/error-code.js'
import type { Environment } from './names.js'

/** Some thousand accounts fit in; a larger file is not the one that was meant. */
const MAX_BYTES = 1_000_000

/** The file of `SPIDRA_ACCOUNTS_FILE` as it was found: nothing in it is checked yet. */
export interface AccountsFile {
  readonly path: string
  /** What the JSON says; undefined where there is none. */
  readonly content: unknown
  /** Why it cannot be read; null when it can. */
  readonly problem: string | null
}

/** Reads the file that the variable names; null where it names none. Never throws, and no problem quotes the file. */
export function readAccountsFile(env: Environment): AccountsFile | null {
  const path = env.SPIDRA_ACCOUNTS_FILE
  if (!path) return null
  const faulty = (problem: string) => ({ path, content: undefined, problem })
  let text: string
  try {
    const found = statSync(path)
    // A pipe may never end, and a device has no size. A directory is told below.
    if (!found.isFile() && !found.isDirectory()) return faulty('is not a regular file')
    if (found.size > MAX_BYTES) return faulty('is larger than 1 MB')
    text = readFileSync(path, 'utf8').replace(/^\uFEFF/, '')
  } catch (error) {
    const code = errorCodeOf(error) ?? 'unknown error'
    return faulty(code === 'ENOENT' ? 'names a file that does not exist' : `names a file that cannot be read (${code})`)
  }
  try {
    return { path, content: JSON.parse(text), problem: null }
  } catch {
    // What JSON.parse says quotes the text, and with it a key.
    return faulty('names a file that is not JSON: look for a comma too many, or a quote too few')
  }
}

/** Every key in the file, be it well-formed or not. */
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
    const value: unknown = typeof entry === 'object' && entry !== null ? Reflect.get(entry, field) : null
    return typeof value === 'string' && value !== '' ? [value] : []
  })
}
