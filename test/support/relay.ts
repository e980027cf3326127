import { connect, createServer, type Server, type Socket } from 'node:net'

/** A TCP relay to a server. A test can cut and restore its connections. */
export interface Relay extends AsyncDisposable {
  /** The connection string that goes through the relay. */
  readonly url: string
  /** Ends every connection and accepts no more. */
  cut(): Promise<void>
  /** Accepts connections again, on the same port. */
  restore(): Promise<void>
  /** Stops passing data on without closing connections, so that neither side notices. */
  freeze(): void
  /** The same for the present connections only: as a firewall that forgot them. Later ones work. */
  forget(): void
  /** Passes data on again, also what was held back. */
  thaw(): void
}

/** Opens a relay to the server of a connection string. */
export async function openRelay(target: string): Promise<Relay> {
  const { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  let isFrozen = false
  const watch = (socket: Socket) => {
    sockets.add(socket)
    return socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
  }
  const server: Server = createServer((near) => {
    const far = watch(connect(Number(port), hostname))
    watch(near).pipe(far).pipe(near)
    if (isFrozen) for (const socket of [near, far]) socket.pause()
    near.on('close', () => far.destroy())
    far.on('close', () => near.destroy())
  })
  const listen = (at: number) =>
    new Promise<void>((resolve, reject) => server.once('error', reject).listen(at, '127.0.0.1', resolve))
  await listen(0)
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String(address.port)
  const cut = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      for (const socket of sockets) socket.destroy()
    })
  return {
    url: url.href,
    cut,
    restore: () => listen(address.port),
    freeze() {
      isFrozen = true
      for (const socket of sockets) socket.pause()
    },
    forget() {
      for (const socket of sockets) socket.pause()
    },
    thaw() {
      isFrozen = false
      for (const socket of sockets) socket.resume()
    },
    [Symbol.asyncDispose]: cut,
  }
}
