import { createServer } from 'node:http'

export interface PlainList extends AsyncDisposable {
  /** Base URL for `SPIDRA_API_URL`. */
  readonly url: string
  /** Paths with queries, in order. */
  readonly requests: readonly string[]
}

/**
 * Serves a list of batch jobs without any code of the simulator: items are JSON texts that are sent unchanged, and
 * paging is implemented here again.
 *
 * @param options `largestPage`: the largest limit; `key`: the API key.
 */
export async function servePlainList(
  items: readonly string[],
  { key, largestPage = 50 }: { readonly key: string; readonly largestPage?: number },
): Promise<PlainList> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(request.url ?? '')
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://list')
    if (pathname !== '/v9/batch/scrape') return void response.writeHead(404).end('<h1>Not Found</h1>')
    if (request.headers['x-api-key'] !== key) {
      return void response.writeHead(403).end('{"status":"error","message":"Invalid API key"}')
    }
    const page = Number(searchParams.get('page') ?? 1)
    const limit = Math.min(Number(searchParams.get('limit') ?? 20), largestPage)
    const shown = items.filter((_, index) => Math.floor(index / limit) === page - 1)
    const totalPages = Math.ceil(items.length / limit)
    response.setHeader('content-type', 'application/json')
    // Without content-length, so that the body is sent in chunks.
    response.write(
      `{"pagination":{"page":${page},"limit":${limit},"total":${items.length},"totalPages":${totalPages}},`,
    )
    response.end(`"jobs":[${shown.join(',')}]}`)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}/v9/`,
    requests,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      })
    },
  }
}

/** https://docs.spidra.io/api-reference/scraping/batch-scrape-list: not newest first, and no uuid of any version. */
export const SAMPLE = [
  `{"uuid":"f3a2b1c0-0000-0000-0000-000000000000","status":"completed","totalUrls":10,"completedCount":9,"failedCount":1,
    "outputFormat":"json","scrapingChannel":"api","createdAt":"2024-01-15T10:00:00Z","finishedAt":"2024-01-15T10:01:30Z"}`,
  `{"uuid":"e2c1a0b9-0000-0000-0000-000000000000","status":"running","totalUrls":25,"completedCount":12,"failedCount":0,
    "outputFormat":"json","scrapingChannel":"api","createdAt":"2024-01-15T10:05:00Z","finishedAt":null}`,
]

/** A valid item with the uuid of the number and the given fields changed, as JSON text. */
export function item(number: number, change: Readonly<Record<string, unknown>> = {}): string {
  const createdAt = new Date(Date.UTC(2026, 1, number, 8)).toISOString()
  const counts = { totalUrls: 4, completedCount: 3, failedCount: 1 }
  const rest = { outputFormat: 'json', scrapingChannel: 'api', createdAt, finishedAt: null }
  return JSON.stringify({ uuid: uuid(number), status: 'completed', ...counts, ...rest, ...change })
}

export const uuid = (number: number) => `aaaaaaaa-0000-4000-8000-${String(number).padStart(12, '0')}`
