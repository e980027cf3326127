import { describe, expect, test } from 'vitest'
import { createAccessCheck } from '../../src/http/access.js'

const CLIENT = '192.0.2.1'

const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`

test('with a password: admits every client that sends it, under any user and Host header', () => {
  const refusalOf = createAccessCheck({ host: '0.0.0.0', dashboardPassword: 'pä:ss' })

  expect(refusalOf({ host: 'any.test', authorization: basic('me:pä:ss') }, CLIENT)).toBeNull()
  expect(refusalOf({ host: 'any.test', authorization: basic(':pä:ss') }, CLIENT)).toBeNull()
  expect(refusalOf({ authorization: basic('me:pä:ss').replace('Basic ', 'basic  ') }, CLIENT)).toBeNull()
})

test.each([
  undefined,
  '',
  'Basic',
  'Basic !!!',
  basic('pass'),
  basic('me:'),
  basic('me:pas'),
  basic('me:passs'),
  `Bearer ${Buffer.from('me:pass').toString('base64')}`,
  `Bearer x, ${basic('me:pass')}`,
  `${basic('me:pass')} x`,
])('with a password: 401 for %s', (authorization) => {
  const refusalOf = createAccessCheck({ host: '127.0.0.1', dashboardPassword: 'pass' })

  expect(refusalOf({ host: 'localhost', authorization }, CLIENT)).toMatchObject({
    status: 401,
    headers: { 'www-authenticate': expect.stringMatching(/^Basic realm=/) },
  })
})

test.each(['0.0.0.0', '::', '10.0.0.5', 'worker.internal'])(
  'without a password nobody is admitted on %s, not even with a local Host header',
  (host) => {
    expect(createAccessCheck({ host, dashboardPassword: null })({ host: 'localhost' }, CLIENT)).toMatchObject({
      status: 403,
      message: expect.stringContaining('DASHBOARD_PASSWORD'),
    })
  },
)

test.each([
  ['localhost:8080', true],
  ['LOCALHOST', true],
  ['127.0.0.1:8080', true],
  ['[::1]:8080', true],
  ['127.8.8.8', true],
  ['evil.test:8080', false],
  ['localhost.evil.test', false],
  ['127.0.0.1.evil.test', false],
  ['localhost:8080@evil.test', false],
  ['', false],
  [undefined, false],
])('without a password on loopback, the Host header %s is admitted: %s', (header, passes) => {
  const refusal = createAccessCheck({ host: '127.8.8.8', dashboardPassword: null })({ host: header }, CLIENT)

  expect(refusal === null).toBe(passes)
})

describe('wrong passwords', () => {
  const right = { authorization: basic('me:pass') }
  const wrong = { authorization: basic('me:guess') }

  /** A check with a clock that the test sets; `blocked` are the addresses that it blocked. */
  function guarded() {
    const clock = { now: 0 }
    const blocked: string[] = []
    const refusalOf = createAccessCheck({
      host: '0.0.0.0',
      dashboardPassword: 'pass',
      now: () => clock.now,
      onBlocked: (address) => blocked.push(address),
    })
    const fail = (address: string, times: number) => {
      const answers = Array.from({ length: times }, () => refusalOf(wrong, address)?.status)
      if (answers.some((status) => status !== 401)) expect.fail(`${address} got ${answers}`)
    }
    return { refusalOf, fail, clock, blocked }
  }

  test('ten from one address block it, even with the right password, until the window of five minutes ends', () => {
    const { refusalOf, fail, clock, blocked } = guarded()
    fail(CLIENT, 1)
    clock.now = 60_000
    fail(CLIENT, 9)

    for (const headers of [right, wrong, {}]) {
      expect(refusalOf(headers, CLIENT)).toEqual({
        ...{
          status: 429,
          error: 'too_many_requests',
          title: 'Too many wrong passwords',
          headers: { 'retry-after': '240' },
        },
        message: 'This address has sent too many wrong passwords. Wait for the number of seconds in Retry-After.',
      })
    }
    clock.now = 299_999
    expect(refusalOf(right, CLIENT)).toMatchObject({ status: 429, headers: { 'retry-after': '1' } })
    clock.now = 300_000
    expect(refusalOf(right, CLIENT)).toBeNull()
    fail(CLIENT, 10)
    expect(refusalOf(right, CLIENT)?.status).toBe(429)
    expect(blocked).toEqual([CLIENT, CLIENT])
  })

  test('block by the real clock, also if nobody listens', () => {
    const refusalOf = createAccessCheck({ host: '0.0.0.0', dashboardPassword: 'pass' })
    for (let failure = 0; failure < 10; failure += 1) expect(refusalOf(wrong, CLIENT)?.status).toBe(401)

    expect(refusalOf(right, CLIENT)?.status).toBe(429)
  })

  test('do not count for other addresses, and a right password in between does not reset the count', () => {
    const { refusalOf, fail } = guarded()
    fail(CLIENT, 9)
    expect(refusalOf(right, CLIENT)).toBeNull()
    fail(CLIENT, 1)

    expect(refusalOf(right, CLIENT)?.status).toBe(429)
    expect(refusalOf(right, '192.0.2.2')).toBeNull()
  })

  test('are not counted for requests without a password, as a browser sends them first', () => {
    const { refusalOf } = guarded()

    for (let visit = 0; visit < 50; visit += 1) expect(refusalOf({}, CLIENT)?.status).toBe(401)

    expect(refusalOf(right, CLIENT)).toBeNull()
  })

  test.each([
    ['192.0.2.1', '::ffff:192.0.2.1', '192.0.2.2'],
    ['2001:db8:1:2::1', '2001:db8:1:2:ffff:ffff:ffff:ffff', '2001:db8:1:3::1'],
    ['2001:db8::1', '2001:db8:0:0:ffff:ffff:ffff:ffff', '2001:db8::ffff:ffff:ffff:ffff:ffff'],
    ['2001:db8:1:23::1', '2001:db8:1:23::2', '2001:db8:12:3::1'],
    ['::1', '::2:2', '1::1'],
    ['::1', '0:0:0:0:1::', '0:0:0:1::'],
    ['192.10.20.30', '::FFFF:192.10.20.30', '1::ffff:92.10.20.30'],
  ])('from %s count as those from %s, and not as those from %s', (one, same, other) => {
    const { refusalOf, fail } = guarded()
    fail(one, 5)
    fail(same, 5)

    expect(refusalOf(right, one)?.status).toBe(429)
    expect(refusalOf(right, same)?.status).toBe(429)
    expect(refusalOf(right, other)).toBeNull()
  })

  test('are not forgotten while an address goes on guessing, however many others guess', () => {
    const { refusalOf, fail } = guarded()
    fail(CLIENT, 5)
    for (let other = 0; other < 999; other += 1) fail(`10.0.${other >> 8}.${other & 255}`, 1)
    fail(CLIENT, 1)
    fail('10.1.0.0', 1)
    fail(CLIENT, 4)

    expect(refusalOf(right, CLIENT)?.status).toBe(429)
  })

  test('are remembered for the latest thousand addresses', () => {
    const { refusalOf, fail } = guarded()
    const addresses = Array.from({ length: 1_000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`)
    fail(CLIENT, 10)
    for (const address of addresses.slice(1)) fail(address, 10)
    expect(refusalOf(right, CLIENT)?.status).toBe(429)

    fail(addresses[0] ?? '', 10)

    expect(refusalOf(right, CLIENT)).toBeNull()
    expect(addresses.filter((address) => refusalOf(right, address)?.status !== 429)).toEqual([])
  })
})
