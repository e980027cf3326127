import type { FastifyInstance } from 'fastify'

/** What a page may load beside itself, as in `{ 'style-src': "'self'" }`. Scripts are not among it. */
export type ContentSources = Readonly<Partial<Record<'style-src' | 'img-src' | 'font-src' | 'form-action', string>>>

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Default: the answer is not a page, and may load nothing. */
    contentSources?: ContentSources
  }
}

/** `base-uri` and `form-action` do not fall back to `default-src`. */
const CLOSED = { 'default-src': "'none'", 'base-uri': "'none'", 'form-action': "'none'", 'frame-ancestors': "'none'" }

/**
 * What OWASP's Secure Headers Project asks of an answer (https://owasp.org/www-project-secure-headers), but for HSTS,
 * which means something over TLS only: whoever terminates that in front of us sends it.
 */
export function securityHeaders(sources: ContentSources = {}): Readonly<Record<string, string>> {
  const policy = Object.entries({ ...CLOSED, ...sources }).map(([directive, source]) => `${directive} ${source}`)
  return {
    'cache-control': 'no-store',
    'content-security-policy': policy.join('; '),
    'cross-origin-embedder-policy': 'require-corp',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'x-permitted-cross-domain-policies': 'none',
  }
}

/** Puts them on every answer, refusals and errors too. A route widens its policy by its option `config.contentSources`. */
export function addSecurityHeaders(app: FastifyInstance): void {
  app.addHook('onRequest', async ({ routeOptions }, reply) => {
    reply.headers(securityHeaders(routeOptions.config?.contentSources))
  })
}
