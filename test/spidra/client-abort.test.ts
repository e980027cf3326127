import { getEventListeners, once } from 'node:events'
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { type Answer, clientOf, emptyList, fakeSpidra, reply } from '../support/fake-spidra.js'

/** Asks for a wait of ten minutes. If an abort did not end the wait, the test would time out. */
const aLongWait = reply(503, '', { 'retry-after': '600' })

/** Enough rounds for leaked timers to outnumber those that vitest itself starts meanwhile. */
const ROUNDS = 10

function timers(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
}

interface Moment {
  readonly answer: Answer
  readonly onWait?: () => void
  /** The expected outcomes reported to `onRequest`. An attempt that the abort cut off is not reported. */
  readonly reported: readonly string[]
}

const moments: readonly [string, (abort: () => void) => Moment][] = [
  ['while the request waits', (abort) => ({ answer: abort, reported: [] })],
  ['inside the body', (abort) => ({ answer: aBeginning(200, abort), reported: [] })],
  ['inside the body of an error', (abort) => ({ answer: aBeginning(500, abort), reported: [] })],
  ['as a wait begins', (abort) => ({ answer: aLongWait, onWait: abort, reported: ['server_error'] })],
  ['during a wait', (abort) => ({ answer: aLongWait, onWait: () => setImmediate(abort), reported: ['server_error'] })],
]

/** Sends the beginning of an answer, then calls `then`. */
function aBeginning(status: number, then: () => void): Answer {
  return (response) => void response.writeHead(status).write('{"jobs":[', () => setImmediate(then))
}

test.each(moments)('an abort %s ends the call at once, for its reason, and nothing is left', async (_, momentOf) => {
  const timersBefore = timers()
  const before = performance.now()
  for (let round = 0; round < ROUNDS; round += 1) {
    const stop = new AbortController()
    const reason = new Error('the run is over')
    const { answer, reported, ...options } = momentOf(() => stop.abort(reason))
    const outcomes: string[] = []
    await using api = await fakeSpidra([answer])
    const client = clientOf(api, {
      ...options,
      onRequest: ({ outcome }) => outcomes.push(outcome),
    })

    await expect(client.listPage({ page: 1, limit: 50, signal: stop.signal })).rejects.toBe(reason)

    expect(api.requests).toHaveLength(1)
    expect(outcomes).toEqual(reported)
    expect(getEventListeners(stop.signal, 'abort')).toEqual([])
  }
  expect(performance.now() - before).toBeLessThan(20_000)
  expect(timers()).toBeLessThan(timersBefore + ROUNDS)
})

test('an abort ends the call at once while it is still connecting, and closing ends the connection', async () => {
  await using host = await silentHost()
  const stop = new AbortController()
  const client = clientOf({ url: `https://127.0.0.1:${host.port}/api` })
  const answer = client.listPage({ page: 1, limit: 50, signal: stop.signal })
  const refused = expect(answer).rejects.toBe('over')
  const before = performance.now()
  await host.connected

  stop.abort('over')
  await refused
  await client.close()
  await host.disconnected

  expect(performance.now() - before).toBeLessThan(8000)
})

test('the timeout holds while it is still connecting', async () => {
  await using host = await silentHost()
  const client = clientOf({ url: `https://127.0.0.1:${host.port}/api` }, { requestRetries: 1, requestTimeoutMs: 100 })

  await expect(client.listPage({ page: 1, limit: 50, signal: new AbortController().signal })).rejects.toMatchObject({
    code: 'timeout',
  })
})

test('a signal that is already aborted sends no request', async () => {
  await using api = await fakeSpidra([emptyList()])

  await expect(clientOf(api).listPage({ page: 1, limit: 50, signal: AbortSignal.abort('over') })).rejects.toBe('over')

  expect(api.requests).toEqual([])
})

test('calls that end by themselves leave no listener on a long-lived signal', async () => {
  const stop = new AbortController()
  await using api = await fakeSpidra([reply(500, ''), emptyList()])
  const client = clientOf(api)
  const timersBefore = timers()

  for (let page = 1; page <= 20; page += 1) await client.listPage({ page, limit: 50, signal: stop.signal })

  expect(getEventListeners(stop.signal, 'abort')).toEqual([])
  expect(timers()).toBeLessThan(timersBefore + ROUNDS)
})

test('closing ends a request that is still under way', async () => {
  let asked: () => void
  const underWay = new Promise<void>((resolve) => {
    asked = resolve
  })
  await using api = await fakeSpidra([() => asked()])
  const client = clientOf(api, { requestRetries: 0 })
  const answer = client.listPage({ page: 1, limit: 50, signal: new AbortController().signal })
  const refused = expect(answer).rejects.toMatchObject({ code: 'network' })
  await underWay

  await client.close()

  await refused
})

/** A host that accepts connections and never starts TLS. */
async function silentHost() {
  const server = createServer()
  const connected = once(server, 'connection')
  const disconnected = connected.then(([socket]) => once(socket.on('error', () => {}).resume(), 'close'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    port: address.port,
    connected,
    disconnected,
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}
