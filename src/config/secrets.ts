import { toPlainDatabaseUrl, toUrl } from './database-url.js'
import type { Environment } from './variables.js'

/** Variables whose value is a secret or contains one. node-postgres reads `PGPASSWORD`. */
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
 * Lists every secret of the environment, valid or not, in each form that a program may print: a password as written and
 * decoded, a webhook with and without its host.
 *
 * @param keyVariables further variables that hold keys; default none
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
        // The address of a chat webhook is all that is needed to post to it.
        return [value, ...addressesIn(value), ...credentialsIn(value)]
      default:
        return value
    }
  })
  return [...new Set(secrets.filter((secret) => secret !== ''))]
}

/**
 * Deletes the secrets from the environment of the process, because Node's diagnostic report prints the environment.
 * `PGPASSWORD` stays: node-postgres reads it for every connection.
 */
export function forgetSecrets(
  { env, report }: Pick<NodeJS.Process, 'env' | 'report'>,
  keyVariables: readonly string[],
): void {
  for (const name of [...SECRET_VARIABLES, ...keyVariables]) if (name !== 'PGPASSWORD') delete env[name]
  // Node 20 has no such setting yet.
  Object.assign(report ?? {}, { excludeEnv: true })
}

/** The password of a URL: as written, as the URL parser normalizes it, and decoded. The whole text if it is not a URL. */
function passwordsIn(text: string): readonly string[] {
  const url = toUrl(text)
  if (url === null) return [text]
  const asWritten = /^[a-z]+:\/\/[^:/?#]*:([^/?#]*)@/i.exec(text)?.[1] ?? ''
  // node-postgres also takes the password as a query parameter.
  return [asWritten, url.password, decode(url.password), url.searchParams.get('password') ?? '']
}

/** The password, and the user name where it is a token that stands without a password. */
function credentialsIn(text: string): readonly string[] {
  const url = toUrl(text)
  const token = url === null || url.password !== '' ? '' : url.username
  return [...passwordsIn(text), token, decode(token)]
}

/** A webhook URL as the parser normalizes it, and its path alone, which is as secret as the whole. */
function addressesIn(text: string): readonly string[] {
  const url = toUrl(text)
  return url === null ? [] : [url.href, ...[url.pathname + url.search, url.pathname].filter((path) => path !== '/')]
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
