import type { SyncSizes } from '../config/scale.js'
import { mergeJobs } from '../db/batch-jobs.js'
import type { Database } from '../db/client.js'
import { fingerprintOf, keepRejectedJobs } from '../db/rejected-jobs.js'
import type { RunKey } from '../db/sync-runs.js'
import type { SyncState } from '../db/sync-state.js'
import { type Job, type Rejection, toRejection } from '../spidra/wire.js'
import { toMicros } from './instant.js'
import type { Page } from './page.js'
import type { Counters } from './run-summary.js'

/** Tells a uuid from a fingerprint, which has 64 digits. */
const UUID_LENGTH = 36

/** What a pass writes: pages in chunks, and the state that the next run goes on from. */
export interface PassWriter {
  /**
   * Hands a page over for merging. Its jobs count as read. Once they are written the page has no content any more, and merging
   * it again does nothing.
   */
  merge(page: Page): Promise<void>
  /** Calls `done` when all pages handed over so far are merged. */
  whenMerged(done: () => Promise<void>): Promise<void>
  /** Waits until all pages are merged. */
  drain(): Promise<void>
  /** Ends the writer: waits for the merge in hand, and drops what waits behind it. */
  close(): Promise<void>
  /** The rejections met so far: copies by identity. */
  rejectionsMet(): ReadonlyMap<string, number>
  /** Saves what the next run goes on from. */
  save(change: Partial<SyncState>): Promise<void>
}

export interface PassWriterOptions {
  readonly db: Database
  readonly run: RunKey
  readonly counters: Counters
  /** Whether a merge notes ended jobs whose items are to be read. */
  readonly notesDue: boolean
  readonly sizes: Pick<SyncSizes, 'chunkPages' | 'chunkBytes'>
  /** How long a page waits for its chunk to fill, in milliseconds. */
  readonly chunkWaitMs: number
  /** Called with each page that is handed over. */
  readonly onMerge: (page: Page) => void
  /** Called for jobs that are listed with another `createdAt` than they are stored with. */
  readonly onRedated: (jobs: number) => void
  readonly save: (change: Partial<SyncState>) => Promise<void>
}

export function createPassWriter(options: PassWriterOptions): PassWriter {
  const { sizes, chunkWaitMs, onMerge, save } = options
  const merger = createPageMerger(options)
  const chunks = createChunkWriter(merger.merge, { ...sizes, maxWaitMs: chunkWaitMs })
  return {
    async merge(page) {
      onMerge(page)
      await chunks.write([page])
    },
    whenMerged: (done) => chunks.write([], done),
    drain: chunks.drain,
    close: chunks.close,
    rejectionsMet: merger.rejectionsMet,
    save,
  }
}

export interface ChunkWriter {
  /**
   * Takes pages for merging, in order; `done` runs after they are merged. Returns while the merge is under way, unless
   * a whole chunk is waiting already, or `chunkBytes` are in memory: then it waits for room. Rejects with the error of an
   * earlier merge.
   */
  write(pages: readonly Page[], done?: () => Promise<void>): Promise<void>
  /** Waits until all is merged. */
  drain(): Promise<void>
  /** Ends the writer: waits for the merge in hand, and drops what waits behind it. */
  close(): Promise<void>
}

export interface ChunkWriterOptions {
  /** Pages of a whole chunk. */
  readonly chunkPages: number
  /** Bytes of content in memory from which on no further page is read before a merge has ended. */
  readonly chunkBytes: number
  /** How long a page waits for its chunk to fill, in milliseconds. */
  readonly maxWaitMs: number
}

/**
 * Merges pages in chunks while the next pages are read, one merge at a time. It holds at most two chunks in memory, and at
 * most one page that is larger than `chunkBytes`.
 *
 * @param merge stores the pages of one chunk; it is never called twice at a time.
 */
export function createChunkWriter(
  merge: (pages: readonly Page[]) => Promise<void>,
  { chunkPages, chunkBytes, maxWaitMs }: ChunkWriterOptions,
): ChunkWriter {
  let waiting: { readonly pages: readonly Page[]; readonly done: (() => Promise<void>) | undefined }[] = []
  let waitingPages = 0
  let waitingBytes = 0
  let mergingBytes = 0
  let merging: Promise<void> = Promise.resolve()
  let isMerging = false
  let failure: { readonly error: unknown } | null = null
  let timer: NodeJS.Timeout | undefined

  function flush(): void {
    clearTimeout(timer)
    timer = undefined
    if (isMerging || waiting.length === 0 || failure !== null) return
    const chunk = waiting
    mergingBytes = waitingBytes
    empty()
    isMerging = true
    merging = mergeChunk(chunk).catch((error: unknown) => {
      failure = { error }
    })
  }

  function empty(): void {
    waiting = []
    waitingPages = 0
    waitingBytes = 0
  }

  async function mergeChunk(chunk: typeof waiting): Promise<void> {
    try {
      await merge(chunk.flatMap(({ pages }) => pages))
      for (const { done } of chunk) await done?.()
    } finally {
      isMerging = false
      mergingBytes = 0
    }
    // A whole chunk is waiting, or the waiting pages have waited long enough during this merge.
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
      waitingBytes += pages.reduce((sum, { content }) => sum + (content?.bytes ?? 0), 0)
      if (waitingPages >= chunkPages) flush()
      else timer ??= setTimeout(flush, maxWaitMs)
      while (mergingBytes + waitingBytes >= chunkBytes) {
        flush()
        await settle()
      }
    },
    async drain() {
      clearTimeout(timer)
      do {
        flush()
        await settle()
      } while (waiting.length > 0 || isMerging)
    },
    async close() {
      empty()
      clearTimeout(timer)
      await merging
    },
  }
}

interface PageMerger {
  /** Stores the jobs of the pages, and puts items that are no valid jobs into the quarantine. */
  merge(pages: readonly Page[]): Promise<void>
  /** The rejections met so far: copies by identity. */
  rejectionsMet(): ReadonlyMap<string, number>
}

function createPageMerger({ db, run, counters, sizes, notesDue, onRedated }: PassWriterOptions): PageMerger {
  /** Copies by identity and page. A page that is read again replaces its former copies. */
  const met = new Map<string, Map<number, number>>()

  async function merge(pages: readonly Page[]): Promise<void> {
    const { refused, ...outcome } = await mergeJobs(db, run, oldestFirst(pages), {
      mostLength: sizes.chunkBytes,
      notesDue,
    })
    counters.inserted += outcome.inserted
    counters.updated += outcome.updated
    counters.unchanged += outcome.unchanged
    counters.restored += outcome.restored
    if (outcome.redated > 0) onRedated(outcome.redated)
    await keepRejections(pages, new Map(refused.map(({ row, reason }) => [row.uuid, toRejection(row.item, reason)])))
    for (const page of pages) page.content = null
  }

  async function keepRejections(pages: readonly Page[], refused: ReadonlyMap<string, Rejection>): Promise<void> {
    if (refused.size === 0 && pages.every((page) => page.rejected.length === 0)) return
    const rows = new Map<string, Rejection & { readonly fingerprint: string }>()
    for (const { number, jobs, content } of pages) {
      if (content === null) continue
      const copies = new Map<string, number>()
      for (const rejection of [...content.rejections, ...jobs.flatMap((uuid) => refused.get(uuid) ?? [])]) {
        const fingerprint = fingerprintOf(rejection.payload)
        const identity = rejection.uuid ?? fingerprint
        rows.set(identity, { ...rejection, fingerprint })
        copies.set(identity, (copies.get(identity) ?? 0) + 1)
      }
      for (const [identity, count] of copies) note(identity, number, count)
    }
    counters.rejected = met.size
    const kept = [...rows].map(([identity, row]) => ({ ...row, copies: copiesOf(identity) }))
    await keepRejectedJobs(db, run, kept, sizes.chunkBytes)
  }

  function note(identity: string, page: number, count: number): void {
    const byPage = met.get(identity) ?? new Map<number, number>()
    met.set(identity, byPage.set(page, count))
  }

  /** A uuid is one job, on however many pages it is met; items without one count as often as the pages hold them. */
  function copiesOf(identity: string): number {
    if (identity.length === UUID_LENGTH) return 1
    return [...(met.get(identity)?.values() ?? [])].reduce((sum, count) => sum + count, 0)
  }

  return {
    merge,
    rejectionsMet: () => new Map([...met.keys()].map((identity) => [identity, copiesOf(identity)])),
  }
}

/**
 * The jobs of the pages, each once and the oldest first. Jobs may be written by several statements, and with this order a crash
 * between two of them leaves no hole below a stored job. The later answer counts for a job that two pages list.
 */
function oldestFirst(pages: readonly Page[]): readonly Job[] {
  const inOrder = [...pages].sort((one, other) => one.answeredAt - other.answeredAt)
  const jobs = new Map(inOrder.flatMap(({ content }) => content?.jobs ?? []).map((job) => [job.uuid, job]))
  return [...jobs.values()]
    .map((job) => ({ job, createdAt: toMicros(job.createdAt) }))
    .sort((one, other) => (one.createdAt < other.createdAt ? -1 : one.createdAt > other.createdAt ? 1 : 0))
    .map(({ job }) => job)
}
