import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import type { Account } from '../../src/simulator/account.js'
import { LONGEST_LIFE_MS } from '../../src/simulator/life.js'
import { ageOf, createAgeCounts, lifeOf, type Said, saidAt } from './ages.js'

export interface WatchOptions {
  readonly databaseUrl: string
  /** Selects `uuid` and `fields` of the table, and ends in a WHERE clause. */
  readonly sql: string
  readonly speed: number
  /** New jobs a scaled minute. */
  readonly arrivals: number
}

/** How a watched table does. */
export interface Watched {
  /** Scaled minutes from the start until the table held all jobs that were listed at the start; null: not yet. */
  readonly loadMinutes: number | null
  /** Whether each row equals what the API says, and no job changes any more. */
  readonly isSettled: boolean
}

/** Ages in scaled minutes, of all samples since the end of the first load. */
export interface Ages {
  readonly samples: number
  readonly listed: number
  readonly all: { readonly median: number | null; readonly p99: number | null }
  readonly open: { readonly median: number | null; readonly p99: number | null }
  /** The oldest row of a sample: how old the table as a whole is. */
  readonly worst: { readonly median: number | null; readonly most: number | null }
}

export interface Watch extends AsyncDisposable {
  /** @throws what ended the sampling. */
  readonly state: Watched
  /** Ends the arrivals, and returns the ages up to now. Sampling goes on, only for `state`. */
  endSpan(): Ages
}

const MINUTE_MS = 60_000
/** Real milliseconds between two rounds of arrivals. */
const ARRIVALS_MS = 20

interface Doubtful {
  readonly said: readonly Said[]
  /** Epoch ms from which the job does not change. */
  readonly finalFrom: number
}

/**
 * Lets jobs arrive, and compares a table with what the API says, once a scaled minute. Asks the table only for rows that are
 * not known to be right for good, so that it takes little from whoever fills it.
 */
export async function startWatch(account: Account, options: WatchOptions): Promise<Watch> {
  const { databaseUrl, sql, speed, arrivals } = options
  const minuteMs = MINUTE_MS / speed
  const client = new Client({ connectionString: databaseUrl })
  client.on('error', () => undefined)
  await client.connect()

  const startedAt = Date.now()
  const doubtful = new Map<string, Doubtful>()
  for (const uuid of account.allUuids()) {
    const { status, totalUrls, completedCount, failedCount } = account.job(uuid) ?? {}
    const fields = `${status} ${totalUrls} ${completedCount} ${failedCount}`
    doubtful.set(uuid, { said: [{ at: startedAt, fields }], finalFrom: startedAt })
  }
  const listedAtStart = [...doubtful.keys()]
  let listed = doubtful.size
  let arrived = 0
  let isArriving = true
  let isCounting = true
  let loadMinutes: number | null = null
  let samples = 0
  const [all, open, worst] = [createAgeCounts(), createAgeCounts(), createAgeCounts()]

  const arriving = setInterval(() => {
    const due = ((Date.now() - startedAt) / minuteMs) * arrivals
    for (; isArriving && arrived < due; arrived += 1) {
      const { uuid, createdAt } = account.addJob()
      const said = lifeOf(uuid, createdAt, speed)
      doubtful.set(uuid, { said, finalFrom: Date.now() + LONGEST_LIFE_MS / speed })
      listed += 1
    }
  }, ARRIVALS_MS)

  /** The fields of rows by uuid; without `uuids` those of all rows. A table that does not exist yet has none. */
  async function read(uuids?: readonly string[]): Promise<Map<string, string>> {
    const query = uuids === undefined ? { text: sql } : { text: `${sql} AND uuid = ANY ($1)`, values: [uuids] }
    const { rows } = await client.query<{ uuid: string; fields: string }>(query).catch(noTable)
    return new Map(rows.map(({ uuid, fields }) => [uuid, fields]))
  }

  async function hasLoaded(): Promise<boolean> {
    const { rows } = await client
      .query<{ uuid: string }>(`SELECT count(*) AS uuid FROM (${sql}) AS rows`)
      .catch(noTable)
    if (Number(rows[0]?.uuid ?? 0) < listedAtStart.length) return false
    const stored = await read()
    return listedAtStart.every((uuid) => stored.has(uuid))
  }

  async function sample(): Promise<void> {
    const loaded = loadMinutes ?? ((await hasLoaded()) ? (Date.now() - startedAt) / minuteMs : null)
    if (loaded === null) return
    const rows = await read([...doubtful.keys()])
    const now = Date.now()
    let oldest = 0
    let asked = 0
    for (const [uuid, { said, finalFrom }] of doubtful) {
      const status = saidAt(said, now)
      // It arrived after the question.
      if (status === undefined) continue
      asked += 1
      const age = ageOf(said, rows.get(uuid), now) / minuteMs
      oldest = Math.max(oldest, age)
      if (age === 0 && now >= finalFrom) doubtful.delete(uuid)
      if (!isCounting) continue
      all.add(age)
      if (/^(?:pending|running) /.test(status)) open.add(age)
    }
    if (isCounting) {
      all.add(0, listed - asked)
      worst.add(oldest)
      samples += 1
    }
    loadMinutes = loaded
  }

  const stopping = new AbortController()
  const sampling = (async () => {
    for (let next = Date.now(); !stopping.signal.aborted; next = Math.max(next + minuteMs, Date.now())) {
      await sleep(next - Date.now(), undefined, { signal: stopping.signal }).catch(() => undefined)
      if (!stopping.signal.aborted) await sample()
    }
  })()
  let failure: unknown = null
  sampling.catch((error: unknown) => {
    failure = error
  })

  return {
    get state() {
      if (failure !== null) throw failure
      return { loadMinutes, isSettled: loadMinutes !== null && !isArriving && doubtful.size === 0 }
    },
    endSpan() {
      isArriving = false
      isCounting = false
      return {
        samples,
        listed,
        all: { median: all.percentile(0.5), p99: all.percentile(0.99) },
        open: { median: open.percentile(0.5), p99: open.percentile(0.99) },
        worst: { median: worst.percentile(0.5), most: worst.percentile(1) },
      }
    },
    async [Symbol.asyncDispose]() {
      clearInterval(arriving)
      stopping.abort()
      await sampling.catch(() => undefined)
      await client.end()
    },
  }
}

function noTable(error: unknown): { rows: never[] } {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null
  // No such table, or no such schema.
  if (code === '42P01' || code === '3F000') return { rows: [] }
  throw error
}
