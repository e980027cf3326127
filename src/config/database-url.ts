import { readFileSync } from 'node:fs'
import { errorCodeOf } from '../logging/error-code.js'

/** Values of `sslmode` that node-postgres treats as `verify-full`. */
const STRICTER_MODES: ReadonlySet<string> = new Set(['prefer', 'require', 'verify-ca'])

/**
 * Normalizes a connection string so that every program reads it in the same way; null when it is not a URL.
 *
 * `sslmode=require` means `verify-full` to node-postgres, which prints a long warning about it. So the URL says
 * `verify-full`, unless it has `uselibpqcompat=true`.
 */
export function toPlainDatabaseUrl(text: string): string | null {
  const url = parseDatabaseUrl(text)
  if (url === null) return null
  if (stricterMode(url) !== null) url.searchParams.set('sslmode', 'verify-full')
  return url.href
}

/**
 * Parses a connection string; null when it is not a URL.
 *
 * `postgres://user@/database?host=/run/postgresql` has an empty host, which libpq allows and URL parsers refuse. Any host
 * will do there, because the parameter takes precedence.
 */
export function parseDatabaseUrl(text: string): URL | null {
  const withHost = text.replace(/^(\w+:\/\/[^/?#]*@)(?=\/[^?#]*\?(?:[^#]*&)?host=)/, '$1localhost')
  return toUrl(text) ?? toUrl(withHost)
}

/** Several hosts between user and database, as libpq takes them: `postgres://ada@one:5432,two:5432/jobs`. */
const SEVERAL_HOSTS =
  /^\w+:\/\/(?:[^/?#]*@)?(?:[\w.-]+|\[[\da-f:.]+\])(?::\d*)?(?:,(?:[\w.-]+|\[[\da-f:.]+\])(?::\d*)?)+(?:[/?#]|$)/i

/** Parameters that name files. */
export const FILE_PARAMETERS = ['sslcert', 'sslkey', 'sslrootcert'] as const

/** Says which hosts or files of a connection string cannot be used, as the end of a sentence; null when all can. */
export function problemOfDatabaseUrl(text: string): string | null {
  const url = parseDatabaseUrl(text)
  if (SEVERAL_HOSTS.test(text) || url?.searchParams.get('host')?.includes(',')) {
    return 'names several hosts, and one is supported: name the primary server, or an address that leads to it'
  }
  const unreadable = FILE_PARAMETERS.flatMap((name) => problemOfFile(name, url?.searchParams.get(name) ?? ''))
  return unreadable[0] ?? null
}

function problemOfFile(name: string, path: string): readonly string[] {
  if (path === '') return []
  try {
    readFileSync(path)
    return []
  } catch (error) {
    return [`has ${name}=${path}, a file that cannot be read (${errorCodeOf(error) ?? 'unknown error'})`]
  }
}

/** Parses a URL; null when the text is not one. */
export function toUrl(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null
}

/** The `sslmode` of a URL when node-postgres reads it as `verify-full`; else null. */
export function stricterMode({ searchParams }: URL): string | null {
  const mode = searchParams.get('sslmode') ?? ''
  return STRICTER_MODES.has(mode) && searchParams.get('uselibpqcompat') !== 'true' ? mode : null
}
