import { connect, createServer, type Server, type Socket } from 'node:net'

/** A line to a server that a test can cut and mend. */
export interface Relay extends AsyncDisposable {
  /** The connection string, by way of the relay. */
  readonly url: string
  /** Ends every connection and takes no more. */
  cut(): Promise<void>
  /** Takes connections again, on the same port. */
  mend(): Promise<void>
  /** Passes nothing on any more, and tells nobody: neither side hears of an end. */
  freeze(): void
  /** Passes on again what was held back. */
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
    mend: () => listen(address.port),
    freeze() {
      isFrozen = true
      for (const socket of sockets) socket.pause()
    },
    thaw() {
      isFrozen = false
      for (const socket of sockets) socket.resume()
    },
    [Symbol.asyncDispose]: cut,
  }
}
