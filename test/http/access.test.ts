import { expect, test } from 'vitest'
import { createAccessCheck } from '../../src/http/access.js'

const basic = (pair: string) => `Basic ${Buffer.from(pair).toString('base64')}`

test('with a password: whoever sends it, under any user, to any name', () => {
  const refusalOf = createAccessCheck({ host: '0.0.0.0', dashboardPassword: 'pä:ss' })

  expect(refusalOf({ host: 'any.test', authorization: basic('me:pä:ss') })).toBeNull()
  expect(refusalOf({ host: 'any.test', authorization: basic(':pä:ss') })).toBeNull()
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
])('with a password: 401 for %s', (authorization) => {
  const refusalOf = createAccessCheck({ host: '127.0.0.1', dashboardPassword: 'pass' })

  expect(refusalOf({ host: 'localhost', ...(authorization === undefined ? {} : { authorization }) })?.status).toBe(401)
})

test.each(['0.0.0.0', '::', '10.0.0.5', 'worker.internal'])(
  'without a password nobody gets in on %s, not even by a local name',
  (host) => {
    expect(createAccessCheck({ host, dashboardPassword: null })({ host: 'localhost' })).toMatchObject({
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
])('without a password on loopback, the Host header %s passes: %s', (header, passes) => {
  const refusal = createAccessCheck({ host: '127.8.8.8', dashboardPassword: null })({ host: header })

  expect(refusal === null).toBe(passes)
})
