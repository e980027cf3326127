import { isIP } from 'node:net'
import { type Dispatcher, EnvHttpProxyAgent, Pool } from 'undici'

/** A host that does not take a connection in so many milliseconds is away; the next attempt begins a new one. */
const CONNECT_TIMEOUT_MS = 10_000

export interface DispatcherOptions {
  /** For `https:` addresses, with the hosts that it is not for, as in `NO_PROXY`. Default none. */
  readonly proxy?: { readonly url: string | null; readonly except: string | null }
  /** An IP address of this machine that every connection comes from, one to a proxy too. Null, the default: any. */
  readonly sourceAddress?: string | null
}

/** Opens what keeps the sockets. The proxy settings of the process's environment play no part. */
export function openDispatcher({ proxy, sourceAddress }: DispatcherOptions, signal: AbortSignal): Dispatcher {
  const bound = typeof sourceAddress === 'string' ? { localAddress: sourceAddress } : {}
  const sockets = {
    timeout: CONNECT_TIMEOUT_MS,
    // undici never ends a socket that is still connecting, and for so long that keeps the process alive.
    signal,
    // Of a host with addresses of both families only those count that can be reached from the source.
    ...(typeof sourceAddress === 'string' ? { family: isIP(sourceAddress) } : {}),
  }
  return new EnvHttpProxyAgent({
    // Empty is none. Left out, undici would ask the environment.
    httpProxy: '',
    httpsProxy: proxy?.url ?? '',
    noProxy: proxy?.except ?? '',
    // The time limit is ours alone; undici's own would cut a longer one at 300 s.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: sockets,
    proxyTls: sockets,
    ...bound,
    // undici binds only the connections that it makes without a proxy.
    clientFactory: (origin, options) => new Pool(origin, { ...options, ...bound }),
  })
}
