import { createHash } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import type { ListAnswer, PageRequest, SpidraClient } from '../../src/spidra/client.js'
import { parseListBody } from '../../src/spidra/wire.js'

export interface ListedJob {
  readonly uuid: string
  readonly createdAt: string
  status: string
  completedCount: number
  readonly failedCount: number
}

/** A change of the list between two answers. `index` is taken modulo the length of the list; jobs change with every seventh after it. */
export type Move =
  | { readonly kind: 'come'; readonly tie: boolean; readonly count: number }
  | { readonly kind: 'go' | 'progress' | 'reopen'; readonly index: number }

/** Limit for the requests of a run; one that sends more would never end. */
const MAX_REQUESTS = 5_000

/** Thrown where the worker is to die: everything after this request is lost. */
export class Died extends Error {}

/**
 * A list of batch jobs with the semantics of the API, which changes between two answers as planned. An answer shows one
 * version of the list: the current one, or an older one as of a lagging replica.
 */
export interface MovingList {
  readonly jobs: ListedJob[]
  /** Every version of the list, the latest last. */
  readonly versions: readonly (readonly ListedJob[])[]
  /** The version that the last answer showed. */
  readonly lastAnswer: readonly ListedJob[]
  /** The most jobs that came or went between two answers since the last plan. */
  readonly mostMoves: number
  requests: number
  /**
   * Sets the next changes, and how many are made before each answer; `pace` is repeated. The worker dies after
   * `diesIn`. What is left of the changes before is made at once, as between two runs.
   */
  plan(moves: readonly Move[], pace: readonly number[], diesIn: number | null): void
  readonly client: SpidraClient
}

export interface MovingListOptions {
  readonly name: string
  readonly size: number
  /** Whether a job has the createdAt of the one before; repeated. */
  readonly ties: readonly boolean[]
  readonly maxLimit: number
  /** Half of the answers come from a replica that is this number of versions behind. */
  readonly lag: number
  /** The most jobs listed: above that each new job drops the oldest. Null: no limit. */
  readonly cap: number | null
}

export function createMovingList({ name, size, ties, maxLimit, lag, cap }: MovingListOptions): MovingList {
  let ids = 0
  let clock = Date.UTC(2026, 0, 1) * 1000
  let moves: readonly Move[] = []
  let pace: readonly number[] = []
  let moved = 0
  let diesIn: number | null = null
  let movesBefore = 0
  const jobs: ListedJob[] = []
  const versions: (readonly ListedJob[])[] = []

  function come(tie: boolean): void {
    ids += 1
    if (!tie) clock += 1
    const hex = createHash('sha256').update(`${name}/${ids}`).digest('hex')
    const uuid = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
    const createdAt = `${new Date(Math.floor(clock / 1000)).toISOString().slice(0, -1)}${String(clock % 1000).padStart(3, '0')}Z`
    const status = ids % 3 === 0 ? 'running' : 'completed'
    jobs.unshift({ uuid, createdAt, status, completedCount: 0, failedCount: ids % 4 === 0 ? 1 : 0 })
    if (cap !== null && jobs.length > cap) jobs.pop()
  }
  for (let index = 0; index < size; index += 1) come(ties[index % Math.max(1, ties.length)] ?? false)
  versions.push([...jobs])

  function apply(move: Move): void {
    movesBefore += move.kind === 'come' ? move.count : 1
    if (move.kind === 'come') {
      for (let count = 0; count < move.count; count += 1) come(move.tie)
      return
    }
    const index = move.index % Math.max(1, jobs.length)
    const job = jobs[index]
    if (job === undefined) return
    if (move.kind === 'go') {
      jobs.splice(index, 1)
      return
    }
    for (let place = index; place < jobs.length; place += 7) {
      const before = jobs[place] ?? job
      const reopened = before.status === 'completed' ? 'running' : 'completed'
      const after = move.kind === 'reopen' ? { status: reopened } : { completedCount: before.completedCount + 1 }
      jobs[place] = { ...before, ...after }
    }
  }

  function change(move: Move): void {
    apply(move)
    versions.push([...jobs])
  }

  const list: MovingList = {
    jobs,
    versions,
    lastAnswer: [...jobs],
    mostMoves: 0,
    requests: 0,
    plan(nextMoves, nextPace, nextDiesIn) {
      for (const move of moves.slice(moved)) change(move)
      movesBefore = 0
      moves = nextMoves
      pace = nextPace
      moved = 0
      diesIn = nextDiesIn
      Object.assign(list, { mostMoves: 0 })
    },
    client: {
      listPage,
      readBatch: () => Promise.reject(new Error('this list has no batches')),
      isWaiting: false,
      close: async () => {},
    },
  }

  async function listPage({ page, limit: asked, signal, faultOf }: PageRequest): Promise<ListAnswer> {
    signal.throwIfAborted()
    const askedAt = performance.now()
    list.requests += 1
    if (list.requests > MAX_REQUESTS) throw new Error(`a list of ${jobs.length} jobs took ${MAX_REQUESTS} requests`)
    if (diesIn !== null && --diesIn < 0) throw new Died()
    // Some requests take longer than others.
    for (let wait = (list.requests * 7) % 3; wait > 0; wait -= 1) await turn()
    for (let count = pace[list.requests % Math.max(1, pace.length)] ?? 0; count > 0; count -= 1) {
      const move = moves[moved]
      moved += 1
      if (move !== undefined) change(move)
    }
    Object.assign(list, { mostMoves: Math.max(list.mostMoves, movesBefore) })
    movesBefore = 0
    const behind = (list.requests * 2_654_435_761) % 7 < 3 ? lag : 0
    const shown = versions[Math.max(0, versions.length - 1 - behind)] ?? []
    const limit = Math.min(asked, maxLimit)
    const totalPages = Math.ceil(shown.length / limit)
    const items = shown.slice((page - 1) * limit, page * limit).map((job) => ({ ...job, totalUrls: 9 }))
    const text = JSON.stringify({ jobs: items, pagination: { page, limit, total: shown.length, totalPages } })
    Object.assign(list, { lastAnswer: shown })
    for (let wait = (list.requests * 5) % 4; wait > 0; wait -= 1) await turn()
    const body = parseListBody(text)
    if (body === null) throw new Error('the moving list wrote no valid list')
    const answer = { ...body, askedAt, answeredAt: performance.now(), fault: null }
    return { ...answer, fault: faultOf?.(answer) ?? null }
  }

  return list
}
