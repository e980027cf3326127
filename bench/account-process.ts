// Runs the simulator in its own process, so that its CPU and memory do not count as a subject's. Obeys messages of account.ts.
import { Client } from 'pg'
import { type Simulator, type SimulatorOptions, startSimulator } from '../src/simulator/server.js'
import type { AccountCalls, Truth } from './account.js'

let simulator: Simulator
let churning = 0
let counted = 0
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
      firstAt ??= performance.timeOrigin + performance.now() - options.latencyMs
      churn()
    }
    simulator = await startSimulator({ ...toOptions(options), beforeAnswer })
    return { url: simulator.url, key: simulator.key }
  },
  async recount() {
    counted = simulator.requestCount
    firstAt = null
    return null
  },
  async counted() {
    return { requests: simulator.requestCount - counted, firstAt }
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
}

const STILL = '2026-11-25T00:00:00Z'

/** The account does not change by itself, so that a table can be compared with it. */
function toOptions({ jobs, latencyMs, rateLimit }: AccountCalls['start'][0]): SimulatorOptions {
  return { jobs, latencyMs, rateLimit, seed: 1, epoch: Date.parse(STILL), arrivalsPerMinute: 0, ties: 0.05 }
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
