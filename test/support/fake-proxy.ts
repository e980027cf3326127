import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'

export interface FakeProxy extends AsyncDisposable {
  /** Includes credentials. */
  readonly url: string
  /** Every request it received, `CONNECT` included. */
  readonly requests: readonly {
    readonly method: string
    readonly target: string
    readonly headers: IncomingHttpHeaders
  }[]
  /** The client address of each `CONNECT`. */
  readonly addresses: readonly (string | undefined)[]
}

/** Starts an HTTP proxy that refuses every tunnel, or never answers a request for one. */
export async function fakeProxy(behaviour: 'refuse' | 'hang'): Promise<FakeProxy> {
  const requests: { method: string; target: string; headers: IncomingHttpHeaders }[] = []
  const addresses: (string | undefined)[] = []
  const tunnels = new Set<Duplex>()
  const server = createServer((request, response) => {
    requests.push({ method: request.method ?? '', target: request.url ?? '', headers: request.headers })
    response.writeHead(502).end()
  })
  server.on('connect', (request, socket) => {
    addresses.push(request.socket.remoteAddress)
    requests.push({ method: 'CONNECT', target: request.url ?? '', headers: request.headers })
    // Node no longer counts a socket that asked for a tunnel among the server's connections.
    tunnels.add(socket)
    socket.on('error', () => {}).on('close', () => tunnels.delete(socket))
    if (behaviour === 'refuse') socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://user:proxy-password@127.0.0.1:${address.port}`,
    requests,
    addresses,
    async [Symbol.asyncDispose]() {
      for (const socket of tunnels) socket.destroy()
      await new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      })
    },
  }
}
