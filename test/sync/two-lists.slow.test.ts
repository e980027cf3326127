import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { shareTestDatabase } from '../support/shared-database.js'
import { loadTable, makeSweepDue, runAgainst, storedUuids } from '../support/sync-runner.js'

const database = await shareTestDatabase()

/** Two accounts of these sizes, whose lists one URL answers in turn. */
async function takeTurns(sizes: readonly [number, number]) {
  const [jobs, other] = sizes
  const simulator = await startSimulator({
    accounts: 2,
    jobs: Math.max(jobs, other),
    rateLimit: 'off',
    routing: 'turns',
  })
  for (const [index, { account }] of simulator.accounts.entries()) {
    const size = sizes[index] ?? 0
    for (const uuid of [...account.allUuids()].slice(size)) account.removeJob(uuid)
  }
  return simulator
}

const SIZES: readonly (readonly [number, number])[] = [
  [30, 30],
  [30, 45],
  [100, 100],
  [101, 101],
  [200, 200],
  [200, 150],
  [150, 200],
  [260, 260],
  [400, 400],
  [1_000, 1_000],
  [1_000, 990],
  [2_500, 2_500],
]

const REASONS = ['two_lists', 'mass_removal', 'list_moving']

test.each(SIZES)(
  'two lists of %i and %i jobs, answered in turn, are never complete on a first sight',
  async (...sizes) => {
    await using simulator = await takeTurns(sizes)

    for (let run = 0; run < 6; run += 1) {
      await makeSweepDue(database)
      const { summary } = await runAgainst(simulator, database, { mode: run % 3 === 2 ? 'full' : 'incremental' })
      const told = `run ${run}, ${summary.mode}: ${summary.status} ${summary.reason}`
      // One page shows one list only.
      if (run > 0 || Math.max(...sizes) > 50) expect(summary.status, told).toBe('partial')
      if (summary.status === 'partial') expect(summary.reason, told).toBeOneOf(REASONS)
      expect(summary.removed, told).toBe(0)
    }
  },
)

test.each(SIZES)(
  'two lists of %i and %i jobs, answered in turn, leave an account that was whole as it is',
  async (...sizes) => {
    await using simulator = await takeTurns(sizes)
    await loadTable(simulator, database)
    const own = new Set(simulator.account.allUuids())

    for (let run = 0; run < 8; run += 1) {
      if (run % 2 === 0) await makeSweepDue(database)
      const { summary } = await runAgainst(simulator, database, { mode: run % 3 === 2 ? 'full' : 'incremental' })
      const told = `run ${run}, ${summary.mode}: ${summary.status} ${summary.reason}`
      const stored = await storedUuids(database)
      expect([...stored].filter((uuid) => !own.has(uuid)).length, told).toBe(0)
      expect(stored.size, told).toBe(own.size)
      // A run that happens to see its own list alone may be right.
      if (summary.status !== 'complete') expect(summary.reason, told).toBeOneOf(REASONS)
    }
  },
)
