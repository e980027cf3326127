import { existsSync, readFileSync } from 'node:fs'
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

/** Parameters of a connection string that libpq knows. It refuses a URL with any other one. */
const LIBPQ_PARAMETERS =
  /^(host|hostaddr|port|dbname|user|password|passfile|options|application_name|client_encoding|connect_timeout|keepalives\w*|tcp_user_timeout|ssl(?!accept)\w+|gss\w+|krb\w+|channel_binding|require_auth|target_session_attrs)$/

/** Where systems keep the certificates that they trust. libpq 16 and later finds them by itself, for `system`. */
const TRUSTED_CERTIFICATES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/cert.pem',
]

/**
 * Converts a connection string for programs with libpq, such as psql: to the same server, with encryption that checks the same.
 * The session is read-only unless it is told otherwise, and finds the views without their schema.
 *
 * @param text a connection string that node-postgres takes
 */
export function toReadOnlyLibpqUrl(text: string): URL {
  const url = parseDatabaseUrl(text) ?? new URL(text)
  const { searchParams } = url
  const isLibpqMode = searchParams.get('uselibpqcompat') === 'true'
  const mode = searchParams.get('sslmode') ?? (searchParams.get('ssl') === 'true' ? 'verify-full' : null)
  if (!isLibpqMode && mode === 'no-verify') searchParams.set('sslmode', 'require')
  else if (!isLibpqMode && (mode === 'verify-full' || stricterMode(url) !== null)) {
    searchParams.set('sslmode', 'verify-full')
    // libpq looks for a file of its own where none is named.
    if (!searchParams.has('sslrootcert')) {
      searchParams.set('sslrootcert', TRUSTED_CERTIFICATES.find((path) => existsSync(path)) ?? 'system')
    }
  }
  for (const name of new Set(searchParams.keys())) if (!LIBPQ_PARAMETERS.test(name)) searchParams.delete(name)
  const given = searchParams.get('options')
  const session = '-c default_transaction_read_only=on -c search_path=spidra_reporting,public'
  searchParams.set('options', given === null ? session : `${given} ${session}`)
  // libpq does not read a plus sign as a space.
  url.search = url.search.replaceAll('+', '%20')
  return url
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
