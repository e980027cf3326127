import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { openRunQueue } from '../../src/fleet/run-queue.js'
import { type FleetRunEnd, type FleetWorkerOptions, startFleetWorker } from '../../src/fleet/worker.js'
import { PATIENCE } from '../support/service.js'
import { createTestDatabase } from '../support/test-database.js'

const silent = pino({ level: 'silent' })
/** The accounts of all tests here. */
const ACCOUNTS = ['a', 'b', 'c', 'd', 'slow', 'long', 'quick', 'short', 'ill', 'large', 'small', 'gone']
const run = (account: string, mode: 'full' | 'incremental' = 'incremental') =>
  ({ account, mode, trigger: 'schedule' }) as const
const COMPLETE: FleetRunEnd = { summary: { status: 'complete', reason: null }, failure: null, isStillDue: false }
const YIELDED: FleetRunEnd = {
  summary: { status: 'aborted', reason: null },
  failure: { code: 'handed_on', message: 'goes on elsewhere', isRetryable: true },
  isStillDue: false,
}

/** A queue on a database of its own, and a worker on it that does what the test says. */
async function openStage(options: Partial<FleetWorkerOptions> & Pick<FleetWorkerOptions, 'run'>) {
  const database = await createTestDatabase()
  onTestFinished(() => database[Symbol.asyncDispose]())
  const queue = await openRunQueue(database.url, silent)
  onTestFinished(() => queue.close())
  const start = (others: Partial<FleetWorkerOptions> = {}) => {
    const always = { hasBudgetFor: () => true, wouldWait: () => false, pausedForMs: () => 0, accounts: () => ACCOUNTS }
    const worker = startFleetWorker({ queue, slots: 2, log: silent, ...always, ...options, ...others })
    onTestFinished(() => worker.stop())
    return worker
  }
  const states = async () => {
    const rows = await database.sql<{ state: string; account: string }>(
      "SELECT state::text AS state, data->>'account' AS account FROM spidra_queue.job WHERE name = 'runs' ORDER BY created_on",
    )
    return rows.map(({ account, state }) => `${account} ${state}`)
  }
  return { database, queue, start, states }
}

test('runs one run per slot at a time, the longest waiting first', async () => {
  const begun: string[] = []
  const gates = new EventTarget()
  const { queue, start } = await openStage({
    run: async ({ account }) => {
      begun.push(account)
      await once(gates, account)
      return COMPLETE
    },
  })
  for (const account of ['slow', 'b', 'c', 'd']) await queue.put(run(account))

  const worker = start()
  await expect.poll(() => begun.toSorted(), PATIENCE).toEqual(['b', 'slow'])
  expect(worker.running).toBe(2)

  // The slow one keeps its slot, and nobody waits for it.
  gates.dispatchEvent(new Event('b'))
  await expect.poll(() => begun[2], PATIENCE).toBe('c')
  gates.dispatchEvent(new Event('c'))
  await expect.poll(() => begun[3], PATIENCE).toBe('d')
  for (const account of ['slow', 'd']) gates.dispatchEvent(new Event(account))
  await expect.poll(() => worker.running, PATIENCE).toBe(0)
})

test('takes no more runs than there is budget for', async () => {
  let budget = 0
  let polls = 0
  const gate = new EventTarget()
  const { queue, start, states } = await openStage({
    hasBudgetFor: (runs) => {
      polls += 1
      return runs <= budget
    },
    run: async () => {
      await once(gate, 'open')
      return COMPLETE
    },
  })
  for (const account of ['a', 'b']) await queue.put(run(account))

  start()
  await expect.poll(() => polls, PATIENCE).toBeGreaterThan(4)
  expect(await states()).toEqual(['a created', 'b created'])

  budget = 1
  await expect.poll(states, PATIENCE).toEqual(['a active', 'b created'])
  const seen = polls
  await expect.poll(() => polls, PATIENCE).toBeGreaterThan(seen + 2)
  expect(await states()).toEqual(['a active', 'b created'])

  gate.dispatchEvent(new Event('open'))
  await expect.poll(states, PATIENCE).toEqual(['a completed', 'b active'])
  gate.dispatchEvent(new Event('open'))
})

test('tells runs to yield when they would wait for requests', async () => {
  let left = 3
  const handing: boolean[] = []
  const { queue, start } = await openStage({
    wouldWait: (runs) => runs > left,
    run: async (_, signal, mustYield) => {
      const before = mustYield()
      left = 1
      await setTimeout(50, undefined, { signal })
      handing.push(before, mustYield())
      return COMPLETE
    },
  })
  for (const account of ['a', 'b']) await queue.put(run(account))

  start()

  await expect.poll(() => handing.length, PATIENCE).toBe(4)
  expect(handing.slice(0, 2)).toEqual([false, true])
})

test('a run that yields waits behind the others for any free worker', async () => {
  const order: string[] = []
  const { queue, start, states } = await openStage({
    slots: 1,
    run: async ({ account }) => {
      order.push(account)
      return account === 'large' && order.length === 1 ? YIELDED : COMPLETE
    },
  })
  await queue.put(run('large', 'full'))
  await queue.put(run('small'))

  start()

  await expect.poll(states, PATIENCE).toEqual(['large completed', 'small completed', 'large completed'])
  expect(order).toEqual(['large', 'small', 'large'])
})

test('tells a run to yield after the time of a slice', async () => {
  const over: boolean[] = []
  const { queue, start } = await openStage({
    sliceMs: 50,
    run: async (_taken, _signal, mustYield) => {
      over.push(mustYield())
      await setTimeout(60)
      over.push(mustYield())
      return COMPLETE
    },
  })
  await queue.put(run('a'))

  start()

  await expect.poll(() => over, PATIENCE).toEqual([false, true])
})

test('puts back the runs under way when it stops', async () => {
  let begun = false
  const { queue, start, states } = await openStage({
    run: async (_taken, signal) => {
      begun = true
      await once(signal, 'abort')
      const failure = { code: 'stopped', message: 'The worker was asked to stop', isRetryable: true }
      return { summary: { status: 'aborted', reason: null }, failure, isStillDue: false }
    },
  })
  await queue.put(run('a'))
  const worker = start()
  await expect.poll(() => begun, PATIENCE).toBe(true)

  await worker.stop()

  expect(await states()).toEqual(['a completed', 'a created'])
})

test('a run that was skipped and is still due is due again in half a minute', async () => {
  const { database, queue, start, states } = await openStage({
    run: async ({ account }) => {
      return { summary: { status: 'skipped', reason: null }, failure: null, isStillDue: account === 'a' }
    },
  })
  await queue.put(run('a', 'full'))
  await queue.put(run('b', 'full'))

  start()

  await expect.poll(states, PATIENCE).toEqual(['a completed', 'b completed', 'a created'])
  const [later] = await database.sql<{ seconds: number }>(
    "SELECT extract(epoch FROM start_after - now())::integer AS seconds FROM spidra_queue.job WHERE state = 'created'",
  )
  expect(later?.seconds).toBeGreaterThan(20)
})

test('does not put back a run that yields when its account was removed meanwhile', async () => {
  let accounts = ['gone', 'here']
  const { queue, start, states } = await openStage({
    accounts: () => accounts,
    run: async () => {
      accounts = ['here']
      return YIELDED
    },
  })
  await queue.put(run('gone'))

  start()

  await expect.poll(states, PATIENCE).toEqual(['gone completed'])
})

test('a worker leaves runs of accounts that it does not have to other workers', async () => {
  const begun: string[] = []
  const { queue, start } = await openStage({
    run: async ({ account }) => {
      begun.push(account)
      return COMPLETE
    },
  })
  start({ accounts: () => ['x'], run: () => expect.unreachable() })
  await setTimeout(1_500)
  for (const account of ['a', 'b', 'c', 'd']) await queue.put(run(account))
  await setTimeout(1_500)

  start()

  await expect.poll(() => begun.toSorted(), { ...PATIENCE, timeout: 5_000 }).toEqual(['a', 'b', 'c', 'd'])
})
