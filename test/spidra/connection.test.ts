import { getEventListeners, once } from 'node:events'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { startTimeout } from '../../src/spidra/connection.js'
import { fakeProxy } from '../support/fake-proxy.js'
import { clientOf, emptyList, fakeSpidra, KEY } from '../support/fake-spidra.js'
import { LOOPBACK_NOTE, ownLoopback } from '../support/own-loopback.js'

const ask = { page: 1, limit: 50, signal: new AbortController().signal }

describe('the time limit of a request', () => {
  test('aborts when the time is up, and says that it timed out', async () => {
    using timeout = startTimeout(new AbortController().signal, 5)
    expect(timeout.timedOut).toBe(false)

    await once(timeout.signal, 'abort')

    expect(timeout.timedOut).toBe(true)
  })

  test("aborts with its parent, for the parent's reason, and has not timed out", () => {
    const parent = new AbortController()
    using timeout = startTimeout(parent.signal, 60_000)

    parent.abort('stop')

    expect(timeout.signal.reason).toBe('stop')
    expect(timeout.timedOut).toBe(false)
  })

  test('is aborted from the start when its parent is', () => {
    using timeout = startTimeout(AbortSignal.abort('stopped before'), 60_000)

    expect(timeout.signal.reason).toBe('stopped before')
  })

  test('leaves neither timer nor listener behind', () => {
    const parent = new AbortController()
    const timersBefore = timers()

    for (let work = 0; work < 100; work += 1) {
      using timeout = startTimeout(parent.signal, 60_000)
      expect(timeout.signal.aborted).toBe(false)
      expect(timers()).toBe(timersBefore + 1)
    }

    expect(timers()).toBe(timersBefore)
    expect(getEventListeners(parent.signal, 'abort')).toEqual([])
  })
})

describe('a proxy', () => {
  afterEach(() => vi.unstubAllEnvs())

  test('is not taken from the environment of the process', async () => {
    await using proxy = await fakeProxy('refuse')
    for (const name of ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy']) vi.stubEnv(name, proxy.url)
    await using api = await fakeSpidra([emptyList()])
    const secure = api.url.replace('http:', 'https:')

    for (const none of [{}, { proxy: { url: null, except: null } }]) {
      await clientOf(api, none).listPage(ask)
      // The server has no TLS. It is enough that the proxy got no request.
      await expect(clientOf({ url: secure }, { ...none, requestRetries: 0 }).listPage(ask)).rejects.toThrow('No answer')
    }

    expect(api.requests).toHaveLength(2)
    expect(proxy.requests).toEqual([])
  })

  test('carries an https address, and sees its credentials but no key', async () => {
    await using proxy = await fakeProxy('refuse')
    vi.stubEnv('NO_PROXY', 'api.spidra.test')
    vi.stubEnv('no_proxy', 'api.spidra.test')
    const client = clientOf(
      { url: 'https://api.spidra.test/api' },
      { requestRetries: 0, proxy: { url: proxy.url, except: null } },
    )

    await expect(client.listPage(ask)).rejects.toMatchObject({
      code: 'network',
      message: expect.stringMatching(/Check the network, SPIDRA_API_URL and HTTPS_PROXY$/),
    })

    expect(proxy.requests.map(({ method, target }) => `${method} ${target}`)).toEqual(['CONNECT api.spidra.test:443'])
    expect(proxy.requests[0]?.headers['proxy-authorization']).toBe(`Basic ${btoa('user:proxy-password')}`)
    expect(JSON.stringify(proxy.requests)).not.toContain(KEY)
  })

  test('does not carry an http address', async () => {
    await using proxy = await fakeProxy('refuse')
    await using api = await fakeSpidra([emptyList()])

    await clientOf(api, { proxy: { url: proxy.url, except: null } }).listPage(ask)

    expect(api.requests).toHaveLength(1)
    expect(proxy.requests).toEqual([])
  })

  test.each(['127.0.0.1', 'other.test,127.0.0.1', '127.0.0.1:PORT', '*'])(
    'is not used for a host in NO_PROXY=%s',
    async (except) => {
      await using proxy = await fakeProxy('refuse')
      await using api = await fakeSpidra([emptyList()])
      const { host, port } = new URL(api.url)
      const client = clientOf(
        { url: `https://${host}/api` },
        { requestRetries: 0, proxy: { url: proxy.url, except: except.replace('PORT', port) } },
      )

      // The server has no TLS. It is enough that the proxy got no request.
      await expect(client.listPage(ask)).rejects.toMatchObject({ code: 'network' })

      expect(proxy.requests).toEqual([])
    },
  )

  test('that never answers delays neither the call nor the closing', async () => {
    await using proxy = await fakeProxy('hang')
    const client = clientOf(
      { url: 'https://api.spidra.test/api' },
      { requestRetries: 1, requestTimeoutMs: 100, proxy: { url: proxy.url, except: null } },
    )

    await expect(client.listPage(ask)).rejects.toMatchObject({ code: 'timeout' })

    const before = performance.now()
    await client.close()
    expect(performance.now() - before).toBeLessThan(8000)
  })
})

describe('a source address', () => {
  test.skipIf(!ownLoopback)(`is where requests come from${LOOPBACK_NOTE}`, async () => {
    await using api = await fakeSpidra([emptyList()])

    await clientOf(api, { sourceAddress: '127.0.0.2' }).listPage(ask)
    await clientOf(api, { sourceAddress: '127.0.0.3' }).listPage(ask)
    await clientOf(api, { sourceAddress: null }).listPage(ask)

    expect(api.addresses).toEqual(['127.0.0.2', '127.0.0.3', '127.0.0.1'])
  })

  test.skipIf(!ownLoopback)(`is also where requests to a proxy come from${LOOPBACK_NOTE}`, async () => {
    await using proxy = await fakeProxy('refuse')
    const through = (sourceAddress: string | null) =>
      clientOf(
        { url: 'https://api.spidra.test/api' },
        { requestRetries: 0, proxy: { url: proxy.url, except: null }, sourceAddress },
      ).listPage(ask)

    await expect(through('127.0.0.2')).rejects.toMatchObject({
      code: 'network',
      message: expect.stringMatching(/Check the network, SPIDRA_API_URL, HTTPS_PROXY and SOURCE_ADDRESS$/),
    })
    await expect(through(null)).rejects.toMatchObject({
      message: expect.stringMatching(/Check the network, SPIDRA_API_URL and HTTPS_PROXY$/),
    })

    expect(proxy.addresses).toEqual(['127.0.0.2', '127.0.0.1'])
  })

  test.skipIf(!ownLoopback)(`restricts a host name to addresses of its family${LOOPBACK_NOTE}`, async () => {
    await using api = await fakeSpidra([emptyList()])

    await clientOf({ url: api.url.replace('127.0.0.1', 'localhost') }, { sourceAddress: '127.0.0.2' }).listPage(ask)

    expect(api.addresses).toEqual(['127.0.0.2'])
    // Either the name has no IPv6 address, or nobody listens there. An IPv4 address was not tried.
    const fromOther = clientOf({ url: api.url.replace('127.0.0.1', 'localhost') }, { sourceAddress: '::1' })
    await expect(fromOther.listPage(ask)).rejects.toThrow(/Check the network, SPIDRA_API_URL and SOURCE_ADDRESS$/)
  })

  // 192.0.2.0/24 and 2001:db8::/32 are reserved for documentation (RFC 5737, RFC 3849).
  test.each(['192.0.2.1', '2001:db8::1'])(
    'that is not of this machine is named in the error, and retried as usual: %s',
    async (sourceAddress) => {
      await using api = await fakeSpidra([emptyList()])
      const waits: string[] = []
      const client = clientOf(api, { sourceAddress, requestRetries: 2, onWait: ({ reason }) => waits.push(reason) })

      await expect(client.listPage(ask)).rejects.toMatchObject({
        name: 'SpidraError',
        code: 'network',
        message: expect.stringMatching(
          /^Nothing can be sent to http:\/\/127\.0\.0\.1:\d+ from SOURCE_ADDRESS \(E[A-Z]+\): it must be an IP address of this machine/,
        ),
      })

      expect(waits).toEqual(['network', 'network'])
      expect(api.requests).toEqual([])
    },
  )
})

function timers(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
}
