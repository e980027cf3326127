/** Every spelling of a secret that could turn up in a log line, a driver's error or a connection string. */
export function secretsAmong(values: {
  readonly SPIDRA_API_KEY: string | null
  readonly DASHBOARD_PASSWORD: string | null
  readonly ALERT_WEBHOOK_URL: string | null
  readonly DATABASE_URL: string | null
  readonly HTTPS_PROXY: string | null
}): readonly string[] {
  const secrets = [
    values.SPIDRA_API_KEY,
    values.DASHBOARD_PASSWORD,
    // Whoever knows the address of a chat webhook can post to it.
    values.ALERT_WEBHOOK_URL,
    ...passwordsIn(values.DATABASE_URL),
    ...passwordsIn(values.HTTPS_PROXY),
  ]
  return [...new Set(secrets.filter((secret): secret is string => secret !== null && secret !== ''))]
}

/** The password of a URL as it was written, as a URL parser spells it, and decoded. */
function passwordsIn(text: string | null): readonly string[] {
  if (text === null) return []
  const { password, searchParams } = new URL(text)
  const asWritten = /^[a-z]+:\/\/[^:/?#]*:([^/?#]*)@/i.exec(text)?.[1] ?? ''
  // node-postgres also takes the password as a query parameter.
  return [asWritten, password, decodeURIComponent(password), searchParams.get('password') ?? '']
}
