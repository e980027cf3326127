import { createServer, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type AlertWatchOptions, startAlertWatch } from '../../src/alerts/watch.js'
import { readAlertFacts } from '../../src/db/alerts.js'
import { openDatabase } from '../../src/db/client.js'
import { createLogger } from '../../src/logging/logger.js'
import { createRedact } from '../../src/logging/redact.js'
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

/** A watch with its log lines. It checks only when the test calls `check`, unless `checkEveryMs` is given. */
async function watching(receiver: WebhookReceiver, { webhookUrl = receiver.url, ...changes }: Changes = {}) {
  const logged: string[] = []
  const redact = createRedact([WEBHOOK_TOKEN, receiver.url])
  const watch = startAlertWatch({
    db: database.db,
    account: 'default',
    worker: 'host:1',
    config: { alerts: { webhookUrl, afterFailures: 2, staleMinutes: 60 }, proxy: { url: null, except: null }, redact },
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
  /** Waits for a log line, such as the one that a message was sent. */
  const logs = (pattern: RegExp) => expect.poll(() => logged.join(''), { timeout: 20_000 }).toMatch(pattern)
  return { watch, logged, logs, check: () => watch.runEnded(COMPLETE) }
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
/** Waits until the database has noted that the webhook accepted the message of `state`. */
const isSent = (state: string) =>
  expect.poll(() => sql('SELECT told_state FROM spidra.alerts'), { timeout: 20_000 }).toEqual([{ told_state: state }])

test('sends one message when an alert fires and one when it is resolved, however often it checks', async () => {
  await using receiver = await openWebhookReceiver()
  const { check } = await watching(receiver, { checkEveryMs: 20 })
  await reject()
  check()
  await isSent('firing')
  check()
  await resolve()
  await isSent('resolved')

  expect(receiver.told()).toEqual(['rejections firing', 'rejections resolved'])
})

test('notices a stale table although no run ends', async () => {
  await using receiver = await openWebhookReceiver()
  // Half a minute more, for a system clock that is set back a little meanwhile.
  await grow('2 hours 30 seconds')
  await watching(receiver, { checkEveryMs: 20 })

  await isSent('firing')
  await grow('1 minute')
  await isSent('resolved')

  expect(receiver.told()).toEqual(['stale firing', 'stale resolved'])
  expect(receiver.posted[0]?.message).toMatchObject({
    account: 'default',
    details: { lagMinutes: 120, staleMinutes: 60 },
  })
})

test('five workers send one message, and a restarted one sends none', async () => {
  await using receiver = await openWebhookReceiver()
  await reject()
  const workers = [1, 2, 3, 4, 5].map((number) => ({ db: openDatabase(database.url), worker: `host:${number}` }))
  onTestFinished(async () => void (await Promise.all(workers.map(({ db }) => db.$disconnect()))))

  const first = await Promise.all(workers.map((options) => watching(receiver, { ...options, checkEveryMs: 20 })))
  await isSent('firing')
  await Promise.all(first.map(({ watch }) => watch.stop()))
  const second = await watching(receiver)
  await resolve()
  second.check()
  await isSent('resolved')

  expect(receiver.told()).toEqual(['rejections firing', 'rejections resolved'])
})

describe('a message that is not accepted', () => {
  test('is an error in the log, without the address, and is sent again by the next check', async () => {
    await using receiver = await openWebhookReceiver()
    receiver.answer = answering(404)
    const { check, logs, logged } = await watching(receiver)
    await reject()
    check()
    await logs(/"level":"error".*"kind":"rejections".*HTTP 404.*"msg":"alert could not be sent"/)
    await expect.poll(() => sql('SELECT claimed_by FROM spidra.alerts')).toEqual([{ claimed_by: null }])

    receiver.answer = taken
    check()
    await isSent('firing')

    expect(receiver.told()).toEqual(['rejections firing', 'rejections firing'])
    expect(receiver.posted[0]?.message).toEqual(receiver.posted[1]?.message)
    expect(logged.join('')).not.toContain(WEBHOOK_TOKEN)
  })

  test('does not keep others from being sent', async () => {
    await using receiver = await openWebhookReceiver()
    receiver.answer = (response) => answering(receiver.posted.at(-1)?.message.kind === 'stale' ? 400 : 200)(response)
    const { check, logs } = await watching(receiver)
    await reject()
    await grow('2 hours')
    check()

    await logs(/"kind":"rejections","state":"firing","msg":"alert sent"/)
    await logs(/"kind":"stale".*"msg":"alert could not be sent"/)
  })
})

describe('a stop', () => {
  test('cuts off a message, which the next worker sends', async () => {
    await using receiver = await openWebhookReceiver()
    receiver.answer = () => {}
    const { check, watch } = await watching(receiver, { limits: { timeoutMs: HOUR_MS } })
    await reject()
    check()
    await receiver.receives(1)

    await watch.stop()

    expect(await sql('SELECT told_state, claimed_by FROM spidra.alerts')).toEqual([
      { told_state: 'resolved', claimed_by: null },
    ])
    receiver.answer = taken
    const next = await watching(receiver, { worker: 'host:2' })
    next.check()
    await isSent('firing')
  })

  test('does not wait for a database that does not answer', async () => {
    await using receiver = await openWebhookReceiver()
    const sockets = new Set<Socket>()
    const mute = createServer((socket) => sockets.add(socket.on('error', () => {})))
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    const address = mute.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const db = openDatabase(`postgres://127.0.0.1:${address.port}/x`)
    const { check, watch } = await watching(receiver, { db })
    // Starts before the check, so it also times out before it.
    const asked = readAlertFacts(db, 'default').catch(() => 'database timed out')
    check()
    await expect.poll(() => sockets.size, { timeout: 20_000 }).toBeGreaterThan(0)

    expect(await Promise.race([asked, watch.stop().then(() => 'stopped')])).toBe('stopped')

    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => mute.close(resolve))
    await db.$disconnect()
  })

  test('ends the checks', async () => {
    await using receiver = await openWebhookReceiver()
    const { check, watch } = await watching(receiver, { checkEveryMs: 20 })
    await watch.stop()
    await reject()
    check()
    const { check: other } = await watching(receiver)
    other()
    await isSent('firing')

    expect(receiver.posted).toHaveLength(1)
  })
})

test('without a webhook the states are stored, and sent as soon as there is one', async () => {
  await using receiver = await openWebhookReceiver()
  await reject()
  const silent = await watching(receiver, { webhookUrl: null })
  silent.check()
  await expect.poll(() => sql('SELECT state FROM spidra.alerts')).toEqual([{ state: 'firing' }])
  await silent.watch.stop()
  expect(receiver.posted).toEqual([])

  const { check } = await watching(receiver)
  check()
  await isSent('firing')

  expect(receiver.told()).toEqual(['rejections firing'])
})

test('an unreachable database is reported from memory, and its return too', async () => {
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
  await relay.restore()
  watch.runEnded(COMPLETE)
  await receiver.receives(2)

  expect(receiver.told()).toEqual(['database_unavailable firing', 'database_unavailable resolved'])
  expect(logged.filter((line) => line.includes('could not be checked'))).toHaveLength(1)
})
