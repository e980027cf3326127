// Runs the simulator in its own process, so that its CPU and memory do not count as a subject's. account.ts sends it calls.
import { Client } from 'pg'
import { type Simulator, type SimulatorOptions, startSimulator } from '../src/simulator/server.js'
import { spending } from '../test/lifetime/scaled-limit.js'
import type { AccountCalls, AccountOptions, Truth } from './account.js'
import { startWatch, type Watch } from './freshness/watch.js'

let simulator: Simulator
let speed = 1
let watch: Watch | null = null
let churning = 0
/** Requests so far that the rate limit did not refuse. */
let answered = 0
let counted = { requests: 0, answered: 0 }
let firstAt: number | null = null
/** Seed of a linear congruential generator (Numerical Recipes), fixed so that every subject meets the same changes. */
let state = 20_261_125
function random(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return state / 2 ** 32
}

const calls: { [Name in keyof AccountCalls]: (argument: AccountCalls[Name][0]) => Promise<AccountCalls[Name][1]> } = {
  async start(options) {
    const beforeAnswer = () => {
      answered += 1
      firstAt ??= performance.timeOrigin + performance.now() - options.latencyMs
      churn()
    }
    simulator = await startSimulator({ ...toOptions(options), beforeAnswer })
    speed = options.speed ?? 1
    // It ends with the process.
    if (options.isShared === true) spending(simulator, speed)
    return { url: simulator.url, key: simulator.key }
  },
  async recount() {
    counted = { requests: simulator.requestCount, answered }
    firstAt = null
    return null
  },
  async counted() {
    const requests = simulator.requestCount - counted.requests
    return { requests, refused: requests - (answered - counted.answered), firstAt }
  },
  async arrive({ jobs }) {
    for (let job = 0; job < jobs; job += 1) simulator.account.addJob({ status: 'completed' })
    return null
  },
  async change({ share }) {
    let changed = 0
    for (const uuid of [...simulator.account.allUuids()]) {
      if (random() >= share) continue
      const { totalUrls } = simulator.account.job(uuid) ?? { totalUrls: 1 }
      simulator.account.updateJob(uuid, {
        status: 'completed',
        completedCount: totalUrls,
        failedCount: 0,
        finishedAt: STILL,
      })
      simulator.account.updateJob(uuid, { status: 'completed', completedCount: 0, failedCount: totalUrls + 1 })
      changed += 1
    }
    return changed
  },
  async churn({ requests }) {
    churning = requests
    return null
  },
  compare,
  async watch(options) {
    watch = await startWatch(simulator.account, { ...options, speed })
    return null
  },
  async watched() {
    return watching().state
  },
  async endSpan() {
    return watching().endSpan()
  },
}

function watching(): Watch {
  if (watch === null) throw new Error('nothing is watched')
  return watch
}

const STILL = '2026-11-25T00:00:00Z'

/** The account does not change by itself, so that a table can be compared with it. Only jobs that arrive progress. */
function toOptions({ jobs, latencyMs, rateLimit, speed = 1 }: AccountOptions): SimulatorOptions {
  const fixed = { seed: 1, epoch: Date.parse(STILL), arrivalsPerMinute: 0, ties: 0.05 }
  return { jobs, latencyMs, rateLimit, speed, ...fixed }
}

/** Changes the list between two answers: sometimes adds a job at the head, sometimes removes one at a random place. */
function churn(): void {
  if (churning === 0) return
  churning -= 1
  if (random() < 0.1) simulator.account.addJob({ status: 'completed' })
  if (random() >= 0.03) return
  const page = simulator.account.list({ page: 1 + Math.floor((random() * simulator.account.total) / 50), limit: 50 })
  const uuid = page.jobs[0]?.uuid
  if (typeof uuid === 'string') simulator.account.removeJob(uuid)
}

async function compare({ databaseUrl, sql }: { databaseUrl: string; sql: string }): Promise<Truth> {
  const client = new Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const stored = new Map<string, string>()
    for (const { uuid, fields } of (await client.query<{ uuid: string; fields: string }>(sql)).rows)
      stored.set(uuid, fields)
    const truth = { listed: 0, missing: 0, stale: 0, extra: 0 }
    for (const uuid of simulator.account.allUuids()) {
      const job = simulator.account.job(uuid)
      const fields = `${job?.status} ${job?.totalUrls} ${job?.completedCount} ${job?.failedCount}`
      truth.listed += 1
      const found = stored.get(uuid)
      if (found === undefined) truth.missing += 1
      else if (found !== fields) truth.stale += 1
      stored.delete(uuid)
    }
    return { ...truth, extra: stored.size }
  } finally {
    await client.end()
  }
}

process.on('message', ({ id, name, argument }: { id: number; name: keyof AccountCalls; argument: never }) => {
  calls[name](argument).then(
    (result) => process.send?.({ id, result }),
    (error: unknown) => process.send?.({ id, error: String(error) }),
  )
})
process.on('disconnect', () => process.exit())
