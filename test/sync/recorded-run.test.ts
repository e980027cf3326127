import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { openDatabase } from '../../src/db/client.js'
import { closeRecord } from '../../src/sync/recorded-run.js'
import { openRun, RUN_END } from '../support/job-rows.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { sql } = database
const end = { ...RUN_END, status: 'failed', errorCode: 'unreachable', errorMessage: 'The server restarted' } as const

/** A server that hangs up on the first `refusals` connections, as one does that is starting. */
async function openStartingServer(refusals: number) {
  const target = new URL(database.url)
  let connections = 0
  const server = createServer((near) => {
    connections += 1
    near.on('error', () => undefined)
    if (connections <= refusals) return void near.destroy()
    const far = connect(Number(target.port || 5432), target.hostname)
    near.pipe(far).pipe(near)
    far.on('error', () => near.destroy())
    near.on('close', () => far.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(database.url)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  const db = openDatabase(url.href)
  return {
    db,
    connections: () => connections,
    [Symbol.asyncDispose]: async () => {
      await db.$disconnect()
      server.close()
    },
  }
}

function listen() {
  const messages: string[] = []
  return { messages, log: pino({ level: 'warn' }, { write: (line) => void messages.push(JSON.parse(line).msg) }) }
}

const runs = () => sql('SELECT status, error_message AS message FROM spidra.sync_runs')

test('a server that restarts is waited for, and takes the record as it was', async () => {
  const run = await openRun(database.db)
  await using server = await openStartingServer(3)
  const { log, messages } = listen()

  await closeRecord({ db: server.db, signal: new AbortController().signal }, run, end, log)

  expect(await runs()).toEqual([{ status: 'failed', message: 'The server restarted' }])
  expect(messages).toEqual([])
})

test('one that stays away is given up, and the next run closes the record', async () => {
  const run = await openRun(database.db)
  await using server = await openStartingServer(1_000)
  const { log, messages } = listen()

  await closeRecord({ db: server.db, signal: new AbortController().signal }, run, end, log)

  expect(messages).toEqual(['record of the run could not be closed; the next run closes it'])
  expect(server.connections()).toBe(7)
  expect(await runs()).toMatchObject([{ status: 'running' }])
})

test('a worker that is told to stop writes, but does not wait', async () => {
  const run = await openRun(database.db)
  await using away = await openStartingServer(1_000)

  await closeRecord({ db: away.db, signal: AbortSignal.abort() }, run, end, listen().log)
  expect(away.connections()).toBe(1)

  await closeRecord({ db: database.db, signal: AbortSignal.abort() }, run, end, listen().log)
  expect(await runs()).toMatchObject([{ status: 'failed' }])
})
