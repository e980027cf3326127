import { expect, test } from 'vitest'
import type { Page } from '../../src/sync/page.js'
import { createChunkWriter } from '../../src/sync/writer.js'
import { page } from '../support/pages.js'

const SIZES = { chunkPages: 6, chunkBytes: 100, maxWaitMs: 1_000 }

const pages = (from: number, count: number) => Array.from({ length: count }, (_, index) => page(from + index, []))

function recorder() {
  const chunks: number[][] = []
  const gates: (() => void)[] = []
  let isOpen = false
  const merge = (chunk: readonly Page[]) => {
    chunks.push(chunk.map((one) => one.number))
    return isOpen ? Promise.resolve() : new Promise<void>((resolve) => gates.push(resolve))
  }
  const open = () => {
    isOpen = true
    for (const gate of gates.splice(0)) gate()
  }
  return { chunks, merge, open }
}

test('merges in order, one chunk at a time, and lets the reader go on meanwhile', async () => {
  const { chunks, merge, open } = recorder()
  const writer = createChunkWriter(merge, SIZES)
  for (const one of pages(1, 6)) await writer.write([one])
  for (const one of pages(7, 6)) await writer.write([one])
  expect(chunks).toEqual([[1, 2, 3, 4, 5, 6]])

  const full = writer.write(pages(13, 1))
  let isTaken = false
  full.then(() => {
    isTaken = true
  })
  await new Promise(setImmediate)
  expect(isTaken).toBe(false)

  open()
  await full
  await writer.drain()
  expect(chunks.flat()).toEqual(Array.from({ length: 13 }, (_, index) => index + 1))
})

test('reads no further page while the bytes of a whole chunk are in memory', async () => {
  const { chunks, merge, open } = recorder()
  const writer = createChunkWriter(merge, SIZES)
  await writer.write([page(1, [], { bytes: 60 })])
  expect(chunks).toEqual([])

  const large = writer.write([page(2, [], { bytes: 40 })])
  let isTaken = false
  large.then(() => {
    isTaken = true
  })
  await new Promise(setImmediate)
  expect([chunks, isTaken]).toEqual([[[1, 2]], false])

  open()
  await large
  await writer.write([page(3, [], { bytes: 60 })])
  await writer.drain()
  expect(chunks).toEqual([[1, 2], [3]])
})

test('runs what was to be done after the merge, in order', async () => {
  const { merge, open, chunks } = recorder()
  const writer = createChunkWriter(merge, SIZES)
  const done: number[] = []
  await writer.write(pages(1, 1), async () => void done.push(chunks.length))
  await writer.write([], async () => void done.push(2))
  expect(done).toEqual([])
  open()
  await writer.drain()
  expect(done).toEqual([1, 2])
})

test('merges what waits after a second, without being told', async () => {
  const merged = deferred<number>()
  const writer = createChunkWriter(async (chunk) => merged.resolve(chunk.length), SIZES)
  await writer.write(pages(1, 2))
  expect(await merged.promise).toBe(2)
  await writer.drain()
})

test('tells the error of a merge to the next write and to the drain, and merges nothing more', async () => {
  let merges = 0
  const writer = createChunkWriter(async () => {
    merges += 1
    throw new Error('no database')
  }, SIZES)
  await writer.write(pages(1, 6))
  await expect(writer.drain()).rejects.toThrow('no database')
  await expect(writer.write(pages(9, 8))).rejects.toThrow('no database')
  await expect(writer.drain()).rejects.toThrow('no database')
  expect(merges).toBe(1)
})

test('once closed it finishes the merge in hand and begins no other', async () => {
  const { chunks, merge, open } = recorder()
  const writer = createChunkWriter(merge, SIZES)
  await writer.write(pages(1, 6))
  await writer.write(pages(9, 3))
  const closed = writer.close()
  open()
  await closed
  // Longer than the pages would have waited for their chunk to fill.
  await new Promise((resolve) => setTimeout(resolve, 1_100))
  expect(chunks).toEqual([[1, 2, 3, 4, 5, 6]])
})

function deferred<Value>() {
  let resolve: (value: Value) => void = () => {}
  const promise = new Promise<Value>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
