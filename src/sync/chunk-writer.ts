import type { Page } from './page.js'

export interface ChunkWriter {
  /**
   * Takes pages for merging, in order; `done` runs after they are merged. Returns while the merge is under way, unless
   * a whole chunk is waiting already: then it waits for room. Rejects with the error of an earlier merge.
   */
  write(pages: readonly Page[], done?: () => Promise<void>): Promise<void>
  /** Waits until all is merged. */
  drain(): Promise<void>
  /** Ends the writer: waits for the merge in hand, and drops what waits behind it. */
  close(): Promise<void>
}

/**
 * Merges pages in chunks while the next ones are read, one merge at a time. Memory holds at most two chunks.
 *
 * @param merge stores the pages of one chunk; it is never called twice at a time.
 * @param chunkPages pages of a whole chunk.
 * @param maxWaitMs how long a page waits for its chunk to fill.
 */
export function createChunkWriter(
  merge: (pages: readonly Page[]) => Promise<void>,
  chunkPages: number,
  maxWaitMs: number,
): ChunkWriter {
  let waiting: { readonly pages: readonly Page[]; readonly done: (() => Promise<void>) | undefined }[] = []
  let waitingPages = 0
  let merging: Promise<void> = Promise.resolve()
  let isMerging = false
  let failure: { readonly error: unknown } | null = null
  let timer: NodeJS.Timeout | undefined

  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    if (isMerging || waiting.length === 0 || failure !== null) return
    const chunk = waiting
    waiting = []
    waitingPages = 0
    isMerging = true
    merging = mergeChunk(chunk).catch((error: unknown) => {
      failure = { error }
    })
  }

  async function mergeChunk(chunk: typeof waiting): Promise<void> {
    try {
      await merge(chunk.flatMap(({ pages }) => pages))
      for (const { done } of chunk) await done?.()
    } finally {
      isMerging = false
    }
    // Either a whole chunk is waiting, or the time of the waiting pages ran out during this merge.
    if (waitingPages >= chunkPages || timer === undefined) flush()
  }

  async function settle(): Promise<void> {
    await merging
    if (failure !== null) throw failure.error
  }

  return {
    async write(pages, done) {
      if (isMerging && waitingPages >= chunkPages) await settle()
      if (failure !== null) throw failure.error
      waiting.push({ pages, done })
      waitingPages += pages.length
      if (waitingPages >= chunkPages) flush()
      else timer ??= setTimeout(flush, maxWaitMs)
    },
    async drain() {
      clearTimeout(timer)
      do {
        flush()
        await settle()
      } while (waiting.length > 0 || isMerging)
    },
    async close() {
      waiting = []
      waitingPages = 0
      clearTimeout(timer)
      await merging
    },
  }
}
