const BASE64 = /[\w+/-]{12,}/g

/**
 * Finds the secrets that a text contains: as they are, in their URL or JSON form, or inside base64, as in an
 * `Authorization` header.
 */
export function leaksIn(text: string, secrets: readonly string[]): string[] {
  const readings = [text, ...decoded(text)]
  const spellings = (secret: string) => [
    ...[secret, encodeURIComponent(secret), encodeURI(secret), JSON.stringify(secret).slice(1, -1)],
    new URL(`http://u:${encodeURIComponent(secret)}@h`).password,
  ]
  return secrets.filter((secret) =>
    spellings(secret).some((form) => readings.some((reading) => reading.includes(form))),
  )
}

/** Decodes every base64 sequence in the text, from each of the four offsets at which a group may begin. */
function decoded(text: string): string[] {
  const runs = Array.from(text.matchAll(BASE64), ([run]) => run)
  return [0, 1, 2, 3].map((start) =>
    runs.map((run) => Buffer.from(run.slice(start), 'base64').toString('utf8')).join('\n'),
  )
}

/** A shorter secret may occur in an output for other reasons. */
const MIN_LENGTH = 12

const SECRET_VARIABLES = ['SPIDRA_API_KEY', 'DASHBOARD_PASSWORD', 'ALERT_WEBHOOK_URL', 'PGPASSWORD']
const URL_VARIABLES = ['DATABASE_URL', 'HTTPS_PROXY', 'https_proxy', 'ALERT_WEBHOOK_URL']

/** The secrets of a process's environment that are long enough to be recognised. */
export function secretsIn(env: Readonly<Record<string, string | undefined>>): string[] {
  const passwords = URL_VARIABLES.map((name) => env[name] ?? '')
    .filter((text) => URL.canParse(text))
    .map((url) => decodeURIComponent(new URL(url).password))
  const values = SECRET_VARIABLES.map((name) => env[name] ?? '')
  return [...new Set([...values, ...passwords])].filter((secret) => secret.length >= MIN_LENGTH)
}
