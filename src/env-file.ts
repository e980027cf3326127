import { readFileSync } from 'node:fs'
import { parseEnv } from 'node:util'
import { ConfigError } from './config-error.js'

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
