import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import { expect } from 'vitest'
import type { AlertMessage } from '../../src/alerts/message.js'

/** One received POST request. */
export interface Posted {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly message: AlertMessage
}

/** Answers one request. */
type Answer = (response: ServerResponse) => void

/** A webhook of a chat: a real server that records what it receives. */
export interface WebhookReceiver extends AsyncDisposable {
  /** Its path contains a token, which no output may show. */
  readonly url: string
  readonly posted: readonly Posted[]
  /** Kind and state of the received messages, in order. */
  told(): string[]
  /** How it answers from now on. Default: it accepts everything. */
  answer: Answer
  /** Resolves when this number of requests have arrived. */
  receives(count: number): Promise<void>
}

export const WEBHOOK_TOKEN = 'T0000-B0000-a-token-that-nobody-may-see'

export const taken: Answer = (response) => void response.end('ok')

export function answering(status: number, headers: Readonly<Record<string, string>> = {}): Answer {
  return (response) => void response.writeHead(status, headers).end()
}

export async function openWebhookReceiver(): Promise<WebhookReceiver> {
  const posted: Posted[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk) => chunks.push(chunk))
    request.on('end', () => {
      const { method, url: path = '', headers } = request
      posted.push({ path, headers, message: method === 'POST' ? JSON.parse(Buffer.concat(chunks).toString()) : null })
      receiver.answer(response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const receiver: WebhookReceiver = {
    url: `http://127.0.0.1:${address.port}/services/${WEBHOOK_TOKEN}`,
    posted,
    told: () => posted.map(({ message }) => `${message.kind} ${message.state}`),
    answer: taken,
    receives: async (count) => {
      await expect.poll(() => posted.length, { timeout: 20_000, interval: 20 }).toBeGreaterThanOrEqual(count)
    },
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      })
    },
  }
  return receiver
}
