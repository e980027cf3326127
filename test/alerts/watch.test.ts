import { createServer, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type AlertWatchOptions, startAlertWatch } from '../../src/alerts/watch.js'
import { readAlertFacts } from '../../src/db/alerts.js'
import { openDatabase } from '../../src/db/client.js'
import { createLogger } from '../../src/logging/logger.js'
import { openRelay } from '../support/relay.js'
import { shareTestDatabase } from '../support/shared-database.js'
import {
  answering,
  openWebhookReceiver,
  taken,
  WEBHOOK_TOKEN,
  type WebhookReceiver,
} from '../support/webhook-receiver.js'

const database = await shareTestDatabase()
const { sql } = database
const COMPLETE = { status: 'complete', runId: '1', reason: null }
const UNRECORDED = { status: 'failed', runId: null, reason: 'Cannot reach Postgres' }
const HOUR_MS = 3_600_000

interface Changes extends Partial<Omit<AlertWatchOptions, 'config'>> {
  readonly webhookUrl?: string | null
}

/** A watch with a log that can be read; it looks only when told, unless the test says otherwise. */
async function watching(receiver: WebhookReceiver, { webhookUrl = receiver.url, ...changes }: Changes = {}) {
  const logged: string[] = []
  const secrets = [WEBHOOK_TOKEN, receiver.url]
  const watch = startAlertWatch({
    db: database.db,
    account: 'default',
    worker: 'host:1',
    config: { alerts: { webhookUrl, afterFailures: 2, staleMinutes: 60 }, proxy: { url: null, except: null }, secrets },
    log: await createLogger({
      level: 'debug',
      format: 'json',
      secrets: [],
      destination: { write: (line) => logged.push(line) },
    }),
    checkEveryMs: HOUR_MS,
    limits: { timeoutMs: 10_000, retryBaseMs: 1 },
    ...changes,
  })
  onTestFinished(() => watch.stop())
  /** Every look ends with what is due; the log says when a message is through. */
  const logs = (pattern: RegExp) => expect.poll(() => logged.join(''), { timeout: 20_000 }).toMatch(pattern)
  return { watch, logged, logs, look: () => watch.runEnded(COMPLETE) }
}

const reject = () =>
  sql(
    `INSERT INTO spidra.rejected_jobs (account, fingerprint, payload, reason, run_id) VALUES ('default', 'a', '{}', 'x', 1)`,
  )
const resolve = () => sql('UPDATE spidra.rejected_jobs SET resolved_at = now()')
const grow = (age: string) =>
  sql(
    `INSERT INTO spidra.sync_state (account, last_complete_at) VALUES ('default', now() - $1::interval)
     ON CONFLICT (account) DO UPDATE SET last_complete_at = excluded.last_complete_at`,
    [age],
  )
/** What the database says was told; a look is over when it says so. */
const isTold = (state: string) =>
  expect.poll(() => sql('SELECT told_state FROM spidra.alerts'), { timeout: 20_000 }).toEqual([{ told_state: state }])

test('tells once when trouble begins and once when it is over, however often it looks', async () => {
  await using receiver = await openWebhookReceiver()
  const { look } = await watching(receiver, { checkEveryMs: 20 })
  await reject()
  look()
  await isTold('firing')
  look()
  await resolve()
  await isTold('resolved')

  expect(receiver.told()).toEqual(['rejections firing', 'rejections resolved'])
})

test('notices age by itself, though no run ends', async () => {
  await using receiver = await openWebhookReceiver()
  await grow('2 hours')
  await watching(receiver, { checkEveryMs: 20 })

  await isTold('firing')
  await grow('1 minute')
  await isTold('resolved')

  expect(receiver.told()).toEqual(['stale firing', 'stale resolved'])
  expect(receiver.posted[0]?.message).toMatchObject({
    account: 'default',
    details: { lagMinutes: 120, staleMinutes: 60 },
  })
})

test('five workers tell once, and a restarted one not again', async () => {
  await using receiver = await openWebhookReceiver()
  await reject()
  const workers = [1, 2, 3, 4, 5].map((number) => ({ db: openDatabase(database.url), worker: `host:${number}` }))
  onTestFinished(async () => void (await Promise.all(workers.map(({ db }) => db.$disconnect()))))

  const first = await Promise.all(workers.map((options) => watching(receiver, { ...options, checkEveryMs: 20 })))
  await isTold('firing')
  await Promise.all(first.map(({ watch }) => watch.stop()))
  const second = await watching(receiver)
  await resolve()
  second.look()
  await isTold('resolved')

  expect(receiver.told()).toEqual(['rejections firing', 'rejections resolved'])
})

describe('a message that is not taken', () => {
  test('is an error in the log, without the address, and is due at the next look', async () => {
    await using receiver = await openWebhookReceiver()
    receiver.answer = answering(404)
    const { look, logs, logged } = await watching(receiver)
    await reject()
    look()
    await logs(/"level":"error".*"kind":"rejections".*HTTP 404.*"msg":"alert could not be sent"/)
    await expect.poll(() => sql('SELECT claimed_by FROM spidra.alerts')).toEqual([{ claimed_by: null }])

    receiver.answer = taken
    look()
    await isTold('firing')

    expect(receiver.told()).toEqual(['rejections firing', 'rejections firing'])
    expect(receiver.posted[0]?.message).toEqual(receiver.posted[1]?.message)
    expect(logged.join('')).not.toContain(WEBHOOK_TOKEN)
  })

  test('keeps no other from being told', async () => {
    await using receiver = await openWebhookReceiver()
    receiver.answer = (response) => answering(receiver.posted.at(-1)?.message.kind === 'stale' ? 400 : 200)(response)
    const { look, logs } = await watching(receiver)
    await reject()
    await grow('2 hours')
    look()

    await logs(/"kind":"rejections","state":"firing","msg":"alert sent"/)
    await logs(/"kind":"stale".*"msg":"alert could not be sent"/)
  })
})

describe('a stop', () => {
  test('cuts off what is being sent, and leaves it to the next worker', async () => {
    await using receiver = await openWebhookReceiver()
    receiver.answer = () => {}
    const { look, watch } = await watching(receiver, { limits: { timeoutMs: HOUR_MS } })
    await reject()
    look()
    await receiver.receives(1)

    await watch.stop()

    expect(await sql('SELECT told_state, claimed_by FROM spidra.alerts')).toEqual([
      { told_state: 'resolved', claimed_by: null },
    ])
    receiver.answer = taken
    const next = await watching(receiver, { worker: 'host:2' })
    next.look()
    await isTold('firing')
  })

  test('does not wait for a database that does not answer', async () => {
    await using receiver = await openWebhookReceiver()
    const sockets = new Set<Socket>()
    const mute = createServer((socket) => sockets.add(socket.on('error', () => {})))
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    const address = mute.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const db = openDatabase(`postgres://127.0.0.1:${address.port}/x`)
    const { look, watch } = await watching(receiver, { db })
    // Asked before the look, so it is given up before it, too.
    const asked = readAlertFacts(db, 'default').catch(() => 'database given up')
    look()
    await expect.poll(() => sockets.size, { timeout: 20_000 }).toBeGreaterThan(0)

    expect(await Promise.race([asked, watch.stop().then(() => 'stopped')])).toBe('stopped')

    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => mute.close(resolve))
    await db.$disconnect()
  })

  test('ends the looking', async () => {
    await using receiver = await openWebhookReceiver()
    const { look, watch } = await watching(receiver, { checkEveryMs: 20 })
    await watch.stop()
    await reject()
    look()
    const { look: other } = await watching(receiver)
    other()
    await isTold('firing')

    expect(receiver.posted).toHaveLength(1)
  })
})

test('without a webhook the states are kept, and told as soon as there is one', async () => {
  await using receiver = await openWebhookReceiver()
  await reject()
  const silent = await watching(receiver, { webhookUrl: null })
  silent.look()
  await expect.poll(() => sql('SELECT state FROM spidra.alerts')).toEqual([{ state: 'firing' }])
  await silent.watch.stop()
  expect(receiver.posted).toEqual([])

  const { look } = await watching(receiver)
  look()
  await isTold('firing')

  expect(receiver.told()).toEqual(['rejections firing'])
})

test('a database that is away is told from memory, and told to be back', async () => {
  await using receiver = await openWebhookReceiver()
  await using relay = await openRelay(database.url)
  const db = openDatabase(relay.url)
  onTestFinished(() => db.$disconnect())
  const { watch, logs, logged } = await watching(receiver, { db })
  await relay.cut()

  watch.runEnded(UNRECORDED)
  await logs(/"level":"warn".*"msg":"alerts could not be checked"/)
  watch.runEnded(UNRECORDED)
  await receiver.receives(1)
  watch.runEnded(UNRECORDED)
  await relay.mend()
  watch.runEnded(COMPLETE)
  await receiver.receives(2)

  expect(receiver.told()).toEqual(['database_unavailable firing', 'database_unavailable resolved'])
  expect(logged.filter((line) => line.includes('could not be checked'))).toHaveLength(1)
})
