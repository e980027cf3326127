import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from './answer.js'

const SLOW_PIECES = 10

/** Sends an answer, as badly as it asks to be sent. Resolves when all that will be written is. */
export async function deliver(
  response: ServerResponse,
  answer: Answer,
  line: { readonly headers: OutgoingHttpHeaders; readonly slowBodyMs: number; readonly signal: AbortSignal },
): Promise<void> {
  if (answer.delivery === 'hang') return
  if (answer.delivery === 'dropped') {
    response.destroy()
    return
  }

  const body = Buffer.from(answer.body)
  response.writeHead(answer.status, {
    'Content-Type': answer.contentType,
    'Content-Length': body.length,
    ...line.headers,
  })
  switch (answer.delivery) {
    case 'whole':
      response.end(body)
      return
    case 'cut':
      response.write(body.subarray(0, Math.floor(body.length / 2)), () => response.destroy())
      return
    case 'slow': {
      const size = Math.ceil(body.length / SLOW_PIECES)
      for (let start = 0; start < body.length; start += size) {
        response.write(body.subarray(start, start + size))
        await sleep(line.slowBodyMs / SLOW_PIECES, undefined, { signal: line.signal })
      }
      response.end()
      return
    }
    default:
      answer.delivery satisfies never
  }
}
