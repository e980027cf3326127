import { expect, test } from 'vitest'
import { fakeProxy } from '../support/fake-proxy.js'
import { clientOf, emptyList, fakeSpidra } from '../support/fake-spidra.js'
import { LOOPBACK_NOTE, ownLoopback } from '../support/own-loopback.js'

const ask = { page: 1, limit: 50, signal: new AbortController().signal }

test.skipIf(!ownLoopback)(`requests come from the source address${LOOPBACK_NOTE}`, async () => {
  await using api = await fakeSpidra([emptyList()])

  await clientOf(api, { sourceAddress: '127.0.0.2' }).listPage(ask)
  await clientOf(api, { sourceAddress: '127.0.0.3' }).listPage(ask)
  await clientOf(api, { sourceAddress: null }).listPage(ask)

  expect(api.addresses).toEqual(['127.0.0.2', '127.0.0.3', '127.0.0.1'])
})

test.skipIf(!ownLoopback)(`so do those to a proxy${LOOPBACK_NOTE}`, async () => {
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

test.skipIf(!ownLoopback)(`of a name only addresses of its family are tried${LOOPBACK_NOTE}`, async () => {
  await using api = await fakeSpidra([emptyList()])

  await clientOf({ url: api.url.replace('127.0.0.1', 'localhost') }, { sourceAddress: '127.0.0.2' }).listPage(ask)

  expect(api.addresses).toEqual(['127.0.0.2'])
  // Either the name has no such address, or nobody listens there: but it was not tried from one of the other family.
  const fromOther = clientOf({ url: api.url.replace('127.0.0.1', 'localhost') }, { sourceAddress: '::1' })
  await expect(fromOther.listPage(ask)).rejects.toThrow(/Check the network, SPIDRA_API_URL and SOURCE_ADDRESS$/)
})

// 192.0.2.0/24 and 2001:db8::/32 are kept for documentation, so they are nobody's (RFC 5737, RFC 3849).
test.each(['192.0.2.1', '2001:db8::1'])(
  '%s, which is not of this machine, is named and tried no longer than usual',
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
