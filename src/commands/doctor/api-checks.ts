import type { Config } from '../../config/config.js'
import { PAGE_LIMIT } from '../../config/scale.js'
import { errorCodeOf } from '../../logging/error-code.js'
import { counted, formatDuration, formatNumber } from '../../logging/printable.js'
import { openConnection, type Received } from '../../spidra/connection.js'
import { SpidraError } from '../../spidra/errors.js'
import { type Check, compareClocks, type Finding, fail, ok, skip, warn } from './check.js'

/** Sent when there is no key: the answer still shows reachability, rate limit and clock. */
const NO_KEY = 'none'

type ApiConfig = Pick<Config<string | null>, 'spidra' | 'proxy' | 'rateLimit'>

/** Makes the checks that need the API, with one request for page 1, without a retry. Rejects only when the signal aborts. */
export async function checkApi(config: ApiConfig, signal: AbortSignal): Promise<readonly Check[]> {
  const { apiKey } = config.spidra
  const connection = openConnection({ ...config.spidra, apiKey: apiKey ?? NO_KEY, proxy: config.proxy })
  try {
    const askedAt = Date.now()
    const received = await connection.getList({ page: 1, limit: PAGE_LIMIT, signal })
    const answeredAt = Date.now()
    const { serverTime } = received
    return [
      { name: 'api', ...reach(received, config, answeredAt - askedAt) },
      { name: 'key', ...key(received, apiKey) },
      { name: 'rate limit', ...budget(received, config.rateLimit) },
      {
        name: 'api clock',
        ...(serverTime === null
          ? skip('The API did not report its time.')
          : compareClocks(serverTime, { askedAt, answeredAt, precisionMs: 1000 }, 'the API')),
      },
    ]
  } finally {
    await connection.close()
  }
}

/** The same checks as skipped, because the API cannot be asked. */
export function skipApi(why: string): readonly Check[] {
  return ['api', 'key', 'rate limit', 'api clock'].map((name) => ({ name, ...skip(why) }))
}

/** Checks DNS and TLS, and that it is the API that answers. */
function reach({ answer: list, ageSeconds }: Received, { spidra, proxy }: ApiConfig, durationMs: number): Finding {
  const { origin, protocol } = new URL(spidra.apiUrl)
  if (!(list instanceof SpidraError) && ageSeconds > 0) {
    return warn(
      `The answer of ${origin} comes from a cache, ${ageSeconds} s old.`,
      'Configure the cache not to store the list.',
    )
  }
  if (!(list instanceof SpidraError) || isAboutKey(list) || list.code === 'rate_limited') {
    const way = protocol === 'https:' ? 'DNS and TLS work' : 'DNS works'
    return ok(`${origin} answered in ${durationMs} ms; ${way}${proxy.url === null ? '' : ', through the proxy'}.`)
  }
  if (list.code !== 'network') return fail(`${list.message}.`)
  const code = errorCodeOf(list.cause) ?? ''
  if (/^(ENOTFOUND|EAI_)/.test(code)) {
    return fail(
      `The name in ${origin} does not resolve (${code}).`,
      'Check SPIDRA_API_URL and the DNS of this machine.',
    )
  }
  if (/CERT|^ERR_(SSL|TLS)|SIGNATURE/.test(code)) {
    return fail(
      `No TLS with ${origin} (${code}).`,
      'Behind a proxy that rewrites TLS, or with a private CA, set NODE_EXTRA_CA_CERTS to its certificate.',
    )
  }
  return fail(`${list.message}.`)
}

function key({ answer: list }: Received, apiKey: string | null): Finding {
  if (apiKey === null) return skip('There is no key: SPIDRA_API_KEY is not set, or cannot be used.')
  if (!(list instanceof SpidraError))
    return ok(`Accepted; the account lists ${formatNumber(list.pagination.total)} jobs.`)
  return isAboutKey(list) ? fail(`${list.message}.`) : skip('Not checked: see api and rate limit.')
}

function budget({ answer: list, rateLimit }: Received, configured: ApiConfig['rateLimit']): Finding {
  const { requests, windowSeconds, reserve } = configured
  if (rateLimit === null) {
    if (list instanceof SpidraError && list.code === 'rate_limited') return warn(`${list.message}.`, WAIT)
    if (list instanceof SpidraError) return skip('No answer reported it.')
    const assumed =
      requests === null ? 'none' : `${counted(requests, 'request')} every ${formatDuration(windowSeconds)}`
    return ok(`The API reports none; assumed: ${assumed} (RATE_LIMIT_REQUESTS).`)
  }
  const { limit, remaining, resetInMs } = rateLimit
  const until = resetInMs === null ? '' : ` for the next ${formatDuration(Math.ceil(resetInMs / 1000))}`
  const left = `${remaining} of ${limit} requests are left${until}`
  if (remaining > limit * reserve) return ok(`${left}.`)
  return warn(`${left}, and ${Math.floor(limit * reserve)} are reserved for your other calls.`, WAIT)
}

const WAIT =
  'Nothing: runs wait for the next window. RATE_LIMIT_RESERVE is the share that they leave to your other calls.'

function isAboutKey({ code }: SpidraError): boolean {
  return code === 'unauthorized' || code === 'forbidden' || code === 'payment_required'
}
