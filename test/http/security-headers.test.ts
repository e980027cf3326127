import Fastify from 'fastify'
import { expect, test } from 'vitest'
import { addSecurityHeaders } from '../../src/http/security-headers.js'

/** Answers of a server with a page that has a stylesheet and pictures of its own, and a route that has nothing. */
async function answers() {
  const app = Fastify({ forceCloseConnections: true })
  addSecurityHeaders(app)
  app.get('/plain', async () => 'plain')
  app.get('/page', { config: { contentSources: { 'style-src': "'self'", 'img-src': "'self'" } } }, async () => 'page')
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  try {
    const [plain, page] = await Promise.all([fetch(`${url}/plain`), fetch(`${url}/page`)])
    return { plain: Object.fromEntries(plain.headers), page: Object.fromEntries(page.headers) }
  } finally {
    await app.close()
  }
}

test('an answer may load nothing, send nothing and be framed by no page', async () => {
  const { plain } = await answers()

  expect(plain).toMatchObject({
    'content-security-policy': "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'cache-control': 'no-store',
    'cross-origin-embedder-policy': 'require-corp',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'permissions-policy': expect.stringContaining('camera=()'),
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'x-permitted-cross-domain-policies': 'none',
  })
  expect(plain).not.toHaveProperty('server')
  expect(plain).not.toHaveProperty('x-powered-by')
})

test('a route adds only the sources that it names to the policy', async () => {
  const { plain, page } = await answers()

  expect(page['content-security-policy']).toBe(`${plain['content-security-policy']}; style-src 'self'; img-src 'self'`)
  expect({ ...page, 'content-security-policy': '' }).toEqual({
    ...plain,
    'content-security-policy': '',
    ...changing(page),
  })
})

/** The headers that differ between any two answers. */
function changing({ date, 'content-length': length }: Readonly<Record<string, string>>) {
  return { date, 'content-length': length }
}
