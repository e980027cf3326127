import { afterEach, expect, test, vi } from 'vitest'
import { fakeProxy } from '../support/fake-proxy.js'
import { clientOf, emptyList, fakeSpidra, KEY } from '../support/fake-spidra.js'

const ask = { page: 1, limit: 50, signal: new AbortController().signal }

afterEach(() => vi.unstubAllEnvs())

test('the environment of the process plays no part', async () => {
  await using proxy = await fakeProxy('refuse')
  for (const name of ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy']) vi.stubEnv(name, proxy.url)
  await using api = await fakeSpidra([emptyList()])
  const secure = api.url.replace('http:', 'https:')

  for (const none of [{}, { proxy: { url: null, except: null } }]) {
    await clientOf(api, none).listPage(ask)
    // The server has no TLS: that the proxy was not asked is enough.
    await expect(clientOf({ url: secure }, { ...none, requestRetries: 0 }).listPage(ask)).rejects.toThrow('No answer')
  }

  expect(api.requests).toHaveLength(2)
  expect(proxy.requests).toEqual([])
})

test('an https address goes through the proxy, which sees its credentials but no key', async () => {
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

test('an http address does not', async () => {
  await using proxy = await fakeProxy('refuse')
  await using api = await fakeSpidra([emptyList()])

  await clientOf(api, { proxy: { url: proxy.url, except: null } }).listPage(ask)

  expect(api.requests).toHaveLength(1)
  expect(proxy.requests).toEqual([])
})

test.each(['127.0.0.1', 'other.test,127.0.0.1', '127.0.0.1:PORT', '*'])('NO_PROXY=%s is kept', async (except) => {
  await using proxy = await fakeProxy('refuse')
  await using api = await fakeSpidra([emptyList()])
  const { host, port } = new URL(api.url)
  const client = clientOf(
    { url: `https://${host}/api` },
    { requestRetries: 0, proxy: { url: proxy.url, except: except.replace('PORT', port) } },
  )

  // The server has no TLS: that it was reached is enough.
  await expect(client.listPage(ask)).rejects.toMatchObject({ code: 'network' })

  expect(proxy.requests).toEqual([])
})

test('a proxy that never answers keeps neither the call nor the closing waiting', async () => {
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
