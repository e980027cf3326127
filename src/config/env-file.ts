import { readFileSync, statSync } from 'node:fs'
import { platform } from 'node:os'
import { dirname, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { ConfigError } from './errors.js'
import { secretsAmong } from './secrets.js'

/**
 * Reads the variables of an `.env` file; none when there is no such file.
 * The caller spreads the real environment over them, so that it wins.
 * Throws `ConfigError` when the file exists and cannot be read.
 */
export function readEnvFile(path: string): Readonly<Record<string, string | undefined>> {
  try {
    // Windows editors begin the file with a byte order mark, which parseEnv would take for part of the first name.
    return parseEnv(readFileSync(path, 'utf8').replace(/^\uFEFF/, ''))
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    if (code === 'ENOENT') return {}
    throw new ConfigError([{ variable: path, problem: `cannot be read (${code})` }], { cause: error })
  }
}

/** The same, but a file that cannot be read counts as none. */
export function readUsableEnvFile(path: string): ReturnType<typeof readEnvFile> {
  try {
    return readEnvFile(path)
  } catch {
    return {}
  }
}

/**
 * A sentence where other users of this machine can read secrets in an `.env` file.
 *
 * @param keyVariables variables that hold keys besides those that are known to; default none
 */
export function warningsAboutFile(path: string, keyVariables: readonly string[] = []): readonly string[] {
  return secretsAmong(readEnvFile(path), keyVariables).length === 0 ? [] : warningsIfOpenToAll(path)
}

/** A sentence where other users of this machine can read a file that holds secrets. */
export function warningsIfOpenToAll(path: string): readonly string[] {
  if (platform() === 'win32' || !isOpenToAll(path)) return []
  return [`${path} holds secrets, and every user of this machine can read it: chmod 600 ${path}`]
}

/** Whether everybody may read the file, and enter every directory on the way to it. */
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
