import { createServer } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type AlertMessage, toMessage } from '../../src/alerts/message.js'
import { openWebhook, type WebhookOptions } from '../../src/alerts/webhook.js'
import { fakeProxy } from '../support/fake-proxy.js'
import {
  answering,
  openWebhookReceiver,
  taken,
  WEBHOOK_TOKEN,
  type WebhookReceiver,
} from '../support/webhook-receiver.js'

const MESSAGE: AlertMessage = toMessage(
  {
    account: 'default',
    kind: 'stale',
    state: 'firing',
    since: new Date(0),
    summary: 'Old.',
    details: { lagMinutes: 61 },
  },
  (text) => text,
)
const NEVER = new AbortController().signal
const DROP = (response: { destroy(): unknown }) => void response.destroy()

function webhookTo(url: string, options: Partial<WebhookOptions> = {}) {
  const webhook = openWebhook({ url, proxy: { url: null, except: null }, timeoutMs: 5_000, retryBaseMs: 1, ...options })
  onTestFinished(() => webhook.close())
  return webhook
}

/** Gives these answers in turn, and accepts all later messages. */
function answerInTurn(receiver: WebhookReceiver, ...answers: WebhookReceiver['answer'][]): void {
  receiver.answer = (response) => (answers.shift() ?? taken)(response)
}

/** The error of a post, and everything that a log could show of it. */
async function refusalOf(work: Promise<void>) {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof Error)) throw new Error('The message was taken')
  return { error, text: `${error.message} ${error.stack} ${String(error.cause)} ${JSON.stringify(error)}` }
}

test('posts the message as JSON', async () => {
  await using receiver = await openWebhookReceiver()

  await webhookTo(receiver.url).post(MESSAGE, NEVER)

  expect(receiver.posted).toMatchObject([{ message: MESSAGE, headers: { 'content-type': 'application/json' } }])
  expect(receiver.posted[0]?.path).toBe(`/services/${WEBHOOK_TOKEN}`)
})

test('sends the credentials of the address in a header', async () => {
  await using receiver = await openWebhookReceiver()
  const url = receiver.url.replace('http://', 'http://us%40er:pass%3Aword@')

  await webhookTo(url).post(MESSAGE, NEVER)

  const authorization = `Basic ${Buffer.from('us@er:pass:word').toString('base64')}`
  expect(receiver.posted[0]?.headers).toMatchObject({ authorization })
})

test('uses HTTPS_PROXY for an https address, whose path the proxy does not see, and not for an http one', async () => {
  await using proxy = await fakeProxy('refuse')
  await using receiver = await openWebhookReceiver()
  const through = { proxy: { url: proxy.url, except: null } }

  await webhookTo(receiver.url, through).post(MESSAGE, NEVER)
  expect(proxy.requests).toEqual([])
  const { error } = await refusalOf(webhookTo(`https://chat.test/${WEBHOOK_TOKEN}`, through).post(MESSAGE, NEVER))

  expect(error).toMatchObject({ code: 'no_answer' })
  expect(proxy.requests[0]).toMatchObject({ method: 'CONNECT', target: 'chat.test:443' })
  expect(JSON.stringify(proxy.requests)).not.toContain(WEBHOOK_TOKEN)
})

describe('retries', () => {
  test.each([
    ['429', answering(429)],
    ['408', answering(408)],
    ['503', answering(503)],
    ['a cut connection', DROP],
  ])('after %s', async (_, answer) => {
    await using receiver = await openWebhookReceiver()
    answerInTurn(receiver, answer, answer)

    await webhookTo(receiver.url).post(MESSAGE, NEVER)

    expect(receiver.posted).toHaveLength(3)
  })

  test('after a timeout', async () => {
    await using receiver = await openWebhookReceiver()
    answerInTurn(receiver, () => {})

    await webhookTo(receiver.url, { timeoutMs: 300 }).post(MESSAGE, NEVER)

    expect(receiver.posted).toHaveLength(2)
  })

  test('three times, and then fails', async () => {
    await using receiver = await openWebhookReceiver()
    receiver.answer = answering(500)

    const { error } = await refusalOf(webhookTo(receiver.url).post(MESSAGE, NEVER))

    expect(error).toMatchObject({ name: 'WebhookError', code: 'refused', status: 500 })
    expect(receiver.posted).toHaveLength(4)
  })
})

describe('does not retry', () => {
  test.each([400, 403, 404, 410])('after a %i', async (status) => {
    await using receiver = await openWebhookReceiver()
    receiver.answer = answering(status)

    const { error } = await refusalOf(webhookTo(receiver.url).post(MESSAGE, NEVER))

    expect(error).toMatchObject({ code: 'refused', status })
    expect(receiver.posted).toHaveLength(1)
  })

  test.each([301, 302, 307, 308])('after a redirect %i, which it does not follow', async (status) => {
    await using receiver = await openWebhookReceiver()
    await using other = await openWebhookReceiver()
    receiver.answer = answering(status, { location: other.url })

    const { error } = await refusalOf(webhookTo(receiver.url).post(MESSAGE, NEVER))

    expect(error).toMatchObject({ code: 'refused', status })
    expect([receiver.posted.length, other.posted.length]).toEqual([1, 0])
  })
})

test('judges an endless answer by its status', async () => {
  await using receiver = await openWebhookReceiver()
  receiver.answer = (response) => {
    response.writeHead(200)
    const timer = setInterval(() => response.write('x'.repeat(1_000)), 1)
    response.on('close', () => clearInterval(timer))
  }

  await webhookTo(receiver.url).post(MESSAGE, NEVER)

  expect(receiver.posted).toHaveLength(1)
})

describe('an error does not contain the address', () => {
  test('when the webhook refuses', async () => {
    await using receiver = await openWebhookReceiver()
    receiver.answer = answering(404)

    const { text } = await refusalOf(webhookTo(receiver.url).post(MESSAGE, NEVER))

    expect(text).not.toContain(WEBHOOK_TOKEN)
    expect(text).toContain('Check ALERT_WEBHOOK_URL')
  })

  test('when nothing listens, or the host is unknown', async () => {
    for (const host of ['127.0.0.1:9', 'no-such-host.invalid']) {
      const { error, text } = await refusalOf(webhookTo(`http://${host}/${WEBHOOK_TOKEN}`).post(MESSAGE, NEVER))

      expect(error).toMatchObject({ code: 'no_answer', status: null })
      expect(text).not.toContain(WEBHOOK_TOKEN)
    }
  })
})

describe('an abort ends a post at once', () => {
  test('while the webhook does not answer', async () => {
    await using receiver = await openWebhookReceiver()
    const stopper = new AbortController()
    receiver.answer = () => stopper.abort(new Error('stopped'))

    await expect(webhookTo(receiver.url).post(MESSAGE, stopper.signal)).rejects.toThrow('stopped')
  })

  test('during a backoff', async () => {
    await using receiver = await openWebhookReceiver()
    const stopper = new AbortController()
    receiver.answer = (response) => {
      response.on('finish', () => stopper.abort(new Error('stopped')))
      response.writeHead(500).end()
    }

    const work = webhookTo(receiver.url, { retryBaseMs: 600_000 }).post(MESSAGE, stopper.signal)

    await expect(work).rejects.toThrow('stopped')
    expect(receiver.posted).toHaveLength(1)
  })

  test('before anything is sent', async () => {
    await using receiver = await openWebhookReceiver()

    await expect(webhookTo(receiver.url).post(MESSAGE, AbortSignal.abort(new Error('stopped')))).rejects.toThrow(
      'stopped',
    )
    expect(receiver.posted).toEqual([])
  })

  test('while a connection hangs, which then does not keep the process alive', async () => {
    // Accepts the connection of a TLS client and never answers its handshake.
    const mute = createServer(() => stopper.abort(new Error('stopped')))
    const stopper = new AbortController()
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    const address = mute.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const webhook = webhookTo(`https://127.0.0.1:${address.port}/x`, { timeoutMs: 600_000 })

    await expect(webhook.post(MESSAGE, stopper.signal)).rejects.toThrow('stopped')

    await webhook.close()
    await new Promise((resolve) => mute.close(resolve))
  })
})
