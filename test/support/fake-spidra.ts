import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import { onTestFinished } from 'vitest'
import { TIMING } from '../../src/config/scale.js'
import { createSpidraClient, type SpidraClient, type SpidraClientOptions } from '../../src/spidra/client.js'

/** Answers one request. */
export type Answer = (response: ServerResponse) => void

export interface FakeSpidra extends AsyncDisposable {
  /** Base URL, ending in `/api`. */
  readonly url: string
  readonly requests: readonly { readonly path: string; readonly headers: IncomingHttpHeaders }[]
  /** Where each request came from. */
  readonly addresses: readonly (string | undefined)[]
}

export const KEY = 'spd_a-key-that-nobody-may-see'

/** Starts a server that gives the answers in order, and the last one to every further request. */
export async function fakeSpidra(answers: readonly [Answer, ...Answer[]]): Promise<FakeSpidra> {
  const requests: { path: string; headers: IncomingHttpHeaders }[] = []
  const addresses: (string | undefined)[] = []
  const server = createServer((request, response) => {
    addresses.push(request.socket.remoteAddress)
    requests.push({ path: request.url ?? '', headers: request.headers })
    const answer = answers[Math.min(requests.length, answers.length) - 1]
    answer?.(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}/api`,
    requests,
    addresses,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      })
    },
  }
}

/** Creates a client of the server that retries quickly, and closes when the test ends. */
export function clientOf(api: { readonly url: string }, options: Partial<SpidraClientOptions> = {}): SpidraClient {
  const client = createSpidraClient({
    apiUrl: api.url,
    apiKey: KEY,
    authScheme: 'x-api-key',
    requestTimeoutMs: 10_000,
    requestRetries: 2,
    retryBaseMs: 1,
    timing: TIMING,
    ...options,
  })
  onTestFinished(() => client.close())
  return client
}

/** A complete answer. A string is sent as it is, anything else as JSON. */
export function reply(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return (response) => void response.writeHead(status, headers).end(text)
}

/** A well-formed list without jobs. */
export function emptyList(headers: Readonly<Record<string, string>> = {}): Answer {
  return reply(200, { jobs: [], pagination: { page: 1, limit: 50, total: 0, totalPages: 0 } }, headers)
}

/** The connection ends without an answer. */
export const dropped: Answer = (response) => response.destroy()

/** The connection ends in the middle of the body. */
export function cutBody(status: number, beginning = '{"jobs":['): Answer {
  return (response) => {
    response.writeHead(status, { 'content-length': '1000' })
    response.write(beginning, () => response.destroy())
  }
}

/** No answer at all. */
export const hang: Answer = () => {}

/** Sends status and headers, then a byte every 5 ms without end. */
export function endlessBody(status: number): Answer {
  return (response) => {
    response.writeHead(status)
    const timer = setInterval(() => response.write(' '), 5)
    response.on('close', () => clearInterval(timer))
  }
}

/** Sends raw bytes instead of an HTTP response. */
export function noHttp(text: string): Answer {
  return (response) => void response.socket?.end(text)
}
