import type { ServerResponse } from 'node:http'
import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { SpidraError } from '../../src/spidra/errors.js'
import { type Answer, clientOf, fakeSpidra, noHttp, reply } from '../support/fake-spidra.js'

const ask = { page: 1, limit: 50, signal: new AbortController().signal }

const LIST = JSON.stringify({ jobs: [], pagination: { page: 1, limit: 50, total: 0, totalPages: 0 } })

/** Writes a piece over and over, as fast as it is read, until the other side closes the connection. */
function pour(response: ServerResponse, piece: string, onWritten: (bytes: number) => void = () => {}): void {
  const { socket } = response
  const write = (): void => {
    if (socket === null || socket.destroyed) return
    onWritten(piece.length)
    if (socket.write(piece)) setImmediate(write)
    else socket.once('drain', write)
  }
  write()
}

async function failureOf(answer: Answer, options: { readonly requestTimeoutMs?: number } = {}): Promise<SpidraError> {
  await using api = await fakeSpidra([answer])
  const error = await clientOf(api, { requestRetries: 0, ...options })
    .listPage(ask)
    .catch((reason: unknown) => reason)
  if (!(error instanceof SpidraError)) throw new Error('no SpidraError', { cause: error })
  return error
}

test('a body without end is refused after 16 MB, and the connection is closed', async () => {
  let written = 0
  let isClosed = false
  const chunk = `10000\r\n${' '.repeat(0x10000)}\r\n`
  const endless: Answer = (response) => {
    response.socket?.on('close', () => (isClosed = true))
    response.socket?.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
    pour(response, chunk, (bytes) => (written += bytes))
  }
  await using api = await fakeSpidra([endless])

  await expect(clientOf(api, { requestRetries: 0 }).listPage(ask)).rejects.toMatchObject({ code: 'bad_payload' })

  await expect.poll(() => isClosed).toBe(true)
  expect(written).toBeGreaterThan(16 * 1024 * 1024)
  expect(written).toBeLessThan(48 * 1024 * 1024)
})

test.each([
  ['less than the body', noHttp(`HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n${LIST}`), /^bad_payload$/],
  ['more than the body', noHttp(`HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"jobs":[`), /^network$/],
  [
    'more than a number can hold',
    noHttp(`HTTP/1.1 200 OK\r\ncontent-length: ${'9'.repeat(40)}\r\n\r\n${LIST}`),
    /^network$/,
  ],
  ['a negative number', noHttp(`HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n${LIST}`), /^network$/],
  ['two values', noHttp(`HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 9\r\n\r\n${LIST}`), /^network$/],
  [
    'one value, with chunked encoding',
    noHttp(`HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n${LIST}`),
    /^(network|bad_payload)$/,
  ],
])('a content-length of %s is an error', async (_, answer, code) => {
  expect((await failureOf(answer, { requestTimeoutMs: 2_000 })).code).toMatch(code)
})

/** The default quality would take ten seconds. */
const compressBrotli = (body: Buffer) => brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } })

test.each([
  ['gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', compressBrotli],
])('256 MB in a small body of %s are refused after 16 MB', async (encoding, compress) => {
  const bomb = compress(Buffer.alloc(256 * 1024 * 1024, ' '))
  const before = process.memoryUsage.rss()

  const error = await failureOf((response) => void response.writeHead(200, { 'content-encoding': encoding }).end(bomb))

  expect(error).toMatchObject({ code: 'bad_payload', message: expect.stringContaining('larger than 16777216 bytes') })
  expect(process.memoryUsage.rss() - before).toBeLessThan(200 * 1024 * 1024)
})

const RAW = 'HTTP/1.1 200 OK\r\n'

test.each([
  ['headers without end', RAW, 'x-more: and more\r\n'],
  ['a header without end', `${RAW}x-more: `, 'and more'],
  ['a status line without end', 'HTTP/1.1 200 ', 'OK'],
  ['preliminary answers without end', '', 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'],
  ['an extension of a chunk without end', `${RAW}transfer-encoding: chunked\r\n\r\n1;`, 'extension'],
  ['trailers without end', `${RAW}transfer-encoding: chunked\r\n\r\n0\r\n`, 'x-more: and more\r\n'],
])('%s end the request and not the worker', async (_, beginning, piece) => {
  let written = 0
  const before = process.memoryUsage.rss()

  const error = await failureOf(
    (response) => {
      response.socket?.write(beginning)
      pour(response, piece.repeat(64), (bytes) => (written += bytes))
    },
    { requestTimeoutMs: 2_000 },
  )

  expect(['network', 'timeout']).toContain(error.code)
  expect(error.message.length).toBeLessThan(300)
  expect(written).toBeGreaterThan(0)
  expect(process.memoryUsage.rss() - before).toBeLessThan(200 * 1024 * 1024)
})

test('a page of eight million items is refused before its items are parsed', async () => {
  const body = `{"pagination":{"page":1,"limit":50,"total":1,"totalPages":1},"jobs":[${Array(8_000_000).fill('1').join(',')}]}`

  expect((await failureOf(reply(200, body))).code).toBe('bad_payload')
})

test('reads a page that exceeds the limit, and an item nested a million levels deep', async () => {
  const listOf = (items: string) => `{"pagination":{"page":1,"limit":50,"total":1,"totalPages":1},"jobs":[${items}]}`
  await using api = await fakeSpidra([
    reply(200, listOf(Array(10_000).fill('{}').join(','))),
    reply(200, listOf(`${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`)),
  ])
  const client = clientOf(api, { requestRetries: 0 })

  expect((await client.listPage(ask)).itemCount).toBe(10_000)
  expect((await client.listPage(ask)).rejections[0]?.payload).toHaveLength(2_000_000)
})
