import { toPlainDatabaseUrl } from './database-url.js'
import type { Environment } from './names.js'

/** Variables whose value, or a part of it, nobody may see. `PGPASSWORD` is read by node-postgres. */
const SECRET_VARIABLES = [
  'SPIDRA_API_KEY',
  'DASHBOARD_PASSWORD',
  'ALERT_WEBHOOK_URL',
  'DATABASE_URL',
  'HTTPS_PROXY',
  'https_proxy',
  'PGPASSWORD',
] as const

/**
 * Every secret of the environment, be it well-formed or not, in the forms in which programs take it apart.
 *
 * @param keyVariables variables that hold keys besides; default none
 */
export function secretsAmong(env: Environment, keyVariables: readonly string[] = []): readonly string[] {
  const secrets = [...SECRET_VARIABLES, ...keyVariables].flatMap((name) => {
    const value = (Object.hasOwn(env, name) ? env[name] : undefined) ?? ''
    switch (name) {
      case 'DATABASE_URL':
        return [...passwordsIn(value), ...passwordsIn(toPlainDatabaseUrl(value) ?? '')]
      case 'HTTPS_PROXY':
      case 'https_proxy':
        return credentialsIn(value)
      case 'ALERT_WEBHOOK_URL':
        // Whoever knows the address of a chat webhook can post to it.
        return [value, ...addressesIn(value), ...credentialsIn(value)]
      default:
        return value
    }
  })
  return [...new Set(secrets.filter((secret) => secret !== ''))]
}

/**
 * Takes the secrets out of a process's environment, which Node's diagnostic report lists: flags or a signal can ask for
 * one. All but the one that node-postgres reads with every connection.
 */
export function forgetSecrets(
  { env, report }: Pick<NodeJS.Process, 'env' | 'report'>,
  keyVariables: readonly string[],
): void {
  for (const name of [...SECRET_VARIABLES, ...keyVariables]) if (name !== 'PGPASSWORD') delete env[name]
  // Node 20 does not know it yet.
  Object.assign(report ?? {}, { excludeEnv: true })
}

/** The password of a URL as it was written, as a URL parser spells it, and decoded. Of what is no URL, all of it. */
function passwordsIn(text: string): readonly string[] {
  const url = toUrl(text)
  if (url === null) return [text]
  const asWritten = /^[a-z]+:\/\/[^:/?#]*:([^/?#]*)@/i.exec(text)?.[1] ?? ''
  // node-postgres also takes the password as a query parameter.
  return [asWritten, url.password, decode(url.password), url.searchParams.get('password') ?? '']
}

/** The same; a token may stand in the place of the user. */
function credentialsIn(text: string): readonly string[] {
  const url = toUrl(text)
  const token = url === null || url.password !== '' ? '' : url.username
  return [...passwordsIn(text), token, decode(token)]
}

/** A webhook as a URL parser spells it, and its path, should it be told without the host. */
function addressesIn(text: string): readonly string[] {
  const url = toUrl(text)
  return url === null ? [] : [url.href, ...[url.pathname + url.search, url.pathname].filter((path) => path !== '/')]
}

function toUrl(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
