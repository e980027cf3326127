const BASE64 = /[\w+/-]{12,}/g

/**
 * The secrets that a text gives away: as they are, as a URL or JSON spells them, or inside something that is encoded in
 * base64, as an `Authorization` header is.
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

/** Every run of base64 in the text, read from each of the places where a group of four may begin. */
function decoded(text: string): string[] {
  const runs = Array.from(text.matchAll(BASE64), ([run]) => run)
  return [0, 1, 2, 3].map((start) =>
    runs.map((run) => Buffer.from(run.slice(start), 'base64').toString('utf8')).join('\n'),
  )
}

/** Shorter ones are words that an output may hold for other reasons. */
const MIN_LENGTH = 12

const SECRET_VARIABLES = ['SPIDRA_API_KEY', 'DASHBOARD_PASSWORD', 'ALERT_WEBHOOK_URL', 'PGPASSWORD']
const URL_VARIABLES = ['DATABASE_URL', 'HTTPS_PROXY', 'https_proxy', 'ALERT_WEBHOOK_URL']

/** The secrets of a process's environment that are long enough to be told from other text. */
export function secretsIn(env: Readonly<Record<string, string | undefined>>): string[] {
  const passwords = URL_VARIABLES.map((name) => env[name] ?? '')
    .filter((text) => URL.canParse(text))
    .map((url) => decodeURIComponent(new URL(url).password))
  const values = SECRET_VARIABLES.map((name) => env[name] ?? '')
  return [...new Set([...values, ...passwords])].filter((secret) => secret.length >= MIN_LENGTH)
}
