/** Environment variables as a process gets them. */
export type Environment = Readonly<Record<string, string | undefined>>

/** A name that begins so was most likely meant for us. */
const PREFIXES = ['SPIDRA_', 'SYNC_', 'RATE_LIMIT_', 'ALERT_', 'DASHBOARD_']

/** What Kubernetes sets in every container beside a service called `spidra-sync` or `sync`. */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT\w*|PORT(_\d+_\w+)?)$/

/** Known under both spellings, of which the lower-case one wins, as in curl and undici. */
const PROXY_NAMES: ReadonlySet<string> = new Set(['HTTPS_PROXY', 'NO_PROXY'])

/** The variables among `names` that are set; empty means unset. */
export function setVariables(env: Environment, names: readonly string[]): Environment {
  const read = (name: string) => (PROXY_NAMES.has(name) && env[name.toLowerCase()]) || env[name]
  return Object.fromEntries(names.map((name) => [name, read(name)]).filter(([, value]) => value))
}

/**
 * A sentence for each variable that looks like ours and is not: a misspelt name would be ignored in silence. `others`
 * are used too, whatever they are called.
 */
export function warningsAbout(env: Environment, names: readonly string[], others: readonly string[] = []): string[] {
  return Object.keys(env)
    .filter((name) => !names.includes(name) && !others.includes(name) && !SERVICE_LINK.test(name))
    .flatMap((name) => {
      const prefix = PREFIXES.find((candidate) => name.startsWith(candidate))
      if (prefix === undefined) return []
      const known = names.filter((candidate) => candidate.startsWith(prefix))
      return [`${name} is ignored: spidra-sync has no such variable; with that prefix it knows ${known.join(', ')}`]
    })
}
