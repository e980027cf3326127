import type { FastifyInstance } from 'fastify'

/** Sources that a page may load from, such as `{ 'style-src': "'self'" }`. */
export type ContentSources = Readonly<
  Partial<Record<'style-src' | 'img-src' | 'font-src' | 'form-action' | 'script-src' | 'connect-src', string>>
>

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Default: none, for an answer that is not a page. */
    contentSources?: ContentSources
  }
}

/** `base-uri` and `form-action` do not fall back to `default-src`. */
const CLOSED = { 'default-src': "'none'", 'base-uri': "'none'", 'form-action': "'none'", 'frame-ancestors': "'none'" }

/**
 * The headers that OWASP's Secure Headers Project recommends (https://owasp.org/www-project-secure-headers), except HSTS,
 * which has an effect over TLS only: the proxy that terminates TLS sends it.
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

/** Sets the headers on every answer, refusals and errors included. A route adds sources by `config.contentSources`. */
export function addSecurityHeaders(app: FastifyInstance): void {
  app.addHook('onRequest', async ({ routeOptions }, reply) => {
    reply.headers(securityHeaders(routeOptions.config?.contentSources))
  })
}
