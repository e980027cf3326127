import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

const AUTHENTICATION_OK = Buffer.from('520000000800000000', 'hex')
const READY_FOR_QUERY = Buffer.from('5a0000000549', 'hex')

/** Message types of the wire protocol. */
const QUERY = 0x51
const SYNC = 0x53
const TERMINATE = 0x58
const READY = 0x5a

/**
 * Starts a proxy for Postgres that shares one server connection among all its clients, one transaction at a time, as
 * PgBouncer does in transaction mode with a pool of one. It does not support transaction blocks. The first client
 * authenticates.
 *
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
export async function openPoolingProxy(databaseUrl: string) {
  const target = new URL(databaseUrl)
  const upstream = connect({ host: target.hostname, port: Number(target.port || 5432) })
  await once(upstream, 'connect')
  const clients = new Set<Socket>()
  let borrower: Socket | null = null
  let isAuthenticated = false
  const waiting: { readonly client: Socket; readonly unit: Buffer }[] = []

  const lend = () => {
    const next = borrower === null ? waiting.shift() : undefined
    if (next === undefined) return
    borrower = next.client
    upstream.write(next.unit)
  }
  const give = readMessages((type, message) => {
    borrower?.write(message)
    if (type !== READY) return
    isAuthenticated = true
    borrower = null
    lend()
  })
  upstream.on('data', give)

  const server = createServer((client) => {
    clients.add(client)
    client.on('error', () => undefined) // a client may disconnect at any time
    client.once('data', (startup: Buffer) => {
      let unit: Buffer[] = []
      const take = readMessages((type, message) => {
        if (type === TERMINATE) return
        unit.push(message)
        if (isAuthenticated && type !== QUERY && type !== SYNC) return
        waiting.push({ client, unit: Buffer.concat(unit) })
        unit = []
        lend()
      })
      if (isAuthenticated) client.write(Buffer.concat([AUTHENTICATION_OK, READY_FOR_QUERY]))
      else {
        borrower = client
        upstream.write(startup)
      }
      client.on('data', (data: Buffer) => {
        if (isAuthenticated) take(data)
        else upstream.write(data)
      })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  target.hostname = '127.0.0.1'
  target.port = String((server.address() as AddressInfo).port)
  return {
    url: target.href,
    [Symbol.asyncDispose]: async () => {
      for (const socket of [...clients, upstream]) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Splits a stream of bytes into messages: a type, a length of four bytes that includes itself, the rest. */
function readMessages(onMessage: (type: number, message: Buffer) => void): (data: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  return (data) => {
    rest = Buffer.concat([rest, data])
    while (rest.length >= 5 && rest.length > rest.readUInt32BE(1)) {
      const end = 1 + rest.readUInt32BE(1)
      onMessage(rest.readUInt8(0), rest.subarray(0, end))
      rest = rest.subarray(end)
    }
  }
}
