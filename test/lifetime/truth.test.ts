import { expect, test } from 'vitest'
import { createAccount } from '../../src/simulator/account.js'
import { createDice } from '../soak/dice.js'
import { createTruth } from './truth.js'

const SPEED = 288
const LATER = Date.now() + 60_000

function accountOf(jobs: number) {
  const account = createAccount({ jobs })
  return { account, truth: createTruth(account, createDice(1), SPEED), listed: [...account.allUuids()] }
}

test('finds nothing wrong with the rows that are listed', async () => {
  const { truth, listed } = accountOf(100)

  expect(await truth.wrongSet(listed, LATER)).toEqual([])
})

test('finds the row that is not stored, but not one that came after the verdict', async () => {
  const { account, truth, listed } = accountOf(100)
  const newcomer = account.addJob()

  expect(await truth.wrongSet(listed, Date.now() - 1_000)).toEqual([])
  expect(await truth.wrongSet(listed.slice(1), Date.now() - 1_000)).toEqual([
    expect.stringContaining(`${listed[0]} is not stored`),
  ])
  expect(await truth.wrongSet(listed, LATER)).toEqual([expect.stringContaining(`${newcomer.uuid} is not stored`)])
})

test('finds the row that left the list before the verdict, and the one that was never listed', async () => {
  const { account, truth, listed } = accountOf(100)
  truth.removeOne()
  const gone = listed.find((uuid) => account.job(uuid) === undefined)

  expect(await truth.wrongSet(listed, Date.now() - 1_000)).toEqual([])
  expect(await truth.wrongSet(listed, LATER)).toEqual([expect.stringContaining(`${gone} is stored and left`)])
  expect(await truth.wrongSet([...listed, 'nobody'], 0)).toEqual(['nobody is stored and was never listed'])
})

test('compares fields only of jobs that were in their final state', async () => {
  const { account, truth } = accountOf(3)
  const [job] = account.list({ page: 1, limit: 1 }).jobs
  const row = { uuid: job?.uuid ?? '', status: 'running', completed: 0, failed: 0, finishedAt: null }

  expect(await truth.wrongRows([row], LATER)).toEqual([expect.stringContaining(`${row.uuid} is stored as running`)])
  expect(await truth.wrongRows([row], 0)).toEqual([])
})
