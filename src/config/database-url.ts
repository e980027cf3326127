/** Modes that node-postgres reads as `verify-full`, with a long warning before anything of ours. */
const ALIASES: ReadonlySet<string> = new Set(['prefer', 'require', 'verify-ca'])

/**
 * Spells a connection string so that every program takes it for the same thing, and returns null for what is none.
 *
 * `sslmode=require` means `verify-full` to node-postgres, unless `uselibpqcompat=true` stands beside it; so we say it.
 */
export function toPlainDatabaseUrl(text: string): string | null {
  const url = parseDatabaseUrl(text)
  if (url === null) return null
  const { searchParams } = url
  if (ALIASES.has(searchParams.get('sslmode') ?? '') && searchParams.get('uselibpqcompat') !== 'true') {
    searchParams.set('sslmode', 'verify-full')
  }
  return url.href
}

/**
 * Parses a connection string, and returns null for what is none.
 *
 * `postgres://user@/database?host=/run/postgresql` has an empty host, as libpq allows and URL parsers do not. Beside the
 * parameter any host does.
 */
export function parseDatabaseUrl(text: string): URL | null {
  const withHost = text.replace(/^(\w+:\/\/[^/?#]*@)(?=\/[^?#]*\?(?:[^#]*&)?host=)/, '$1localhost')
  const parsable = [text, withHost].find((form) => URL.canParse(form))
  return parsable === undefined ? null : new URL(parsable)
}
