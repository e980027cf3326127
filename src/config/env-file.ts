import { readFileSync, statSync } from 'node:fs'
import { platform } from 'node:os'
import { dirname, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { errorCodeOf } from '../logging/error-code.js'
import { ConfigError } from './errors.js'
import { secretsAmong } from './secrets.js'
import type { Environment } from './variables.js'

/**
 * Reads the variables of an `.env` file; none when the file does not exist. The caller lets the real environment override
 * them.
 *
 * @throws {ConfigError} when the file exists and cannot be read
 */
export function readEnvFile(path: string): Environment {
  try {
    // Windows editors put a byte order mark first, which parseEnv would read as part of the first name.
    return parseEnv(readFileSync(path, 'utf8').replace(/^\uFEFF/, ''))
  } catch (error) {
    const code = errorCodeOf(error)
    if (code === 'ENOENT') return {}
    throw new ConfigError([{ variable: path, problem: `cannot be read (${code ?? 'unknown error'})` }], {
      cause: error,
    })
  }
}

/** Reads the file in the same way, and treats one that cannot be read as empty. */
export function readUsableEnvFile(path: string): Environment {
  try {
    return readEnvFile(path)
  } catch {
    return {}
  }
}

/**
 * Warns when other users of this machine can read secrets in an `.env` file.
 *
 * @param keyVariables further variables that hold keys
 */
export function warningsAboutFile(path: string, keyVariables: readonly string[]): readonly string[] {
  return secretsAmong(readEnvFile(path), keyVariables).length === 0 ? [] : warningsIfOpenToAll(path)
}

/** Warns when other users of this machine can read a file that holds secrets. */
export function warningsIfOpenToAll(path: string): readonly string[] {
  if (platform() === 'win32' || !isOpenToAll(path)) return []
  return [`${path} holds secrets, and every user of this machine can read it: chmod 600 ${path}`]
}

/** Whether every user may read the file and enter every directory above it. */
function isOpenToAll(path: string): boolean {
  let directory = dirname(resolve(path))
  let isOpen = (statSync(path).mode & 0o004) !== 0
  while (isOpen) {
    isOpen = (statSync(directory).mode & 0o001) !== 0
    const parent = dirname(directory)
    if (parent === directory) break
    directory = parent
  }
  return isOpen
}
