import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { isLoopbackHost } from '../loopback.js'

/** Why a request is refused, ready to be sent; null when it may pass. */
export interface Refusal {
  readonly status: 401 | 403
  readonly error: string
  readonly message: string
}

/**
 * Decides who may see more than the probes and the metrics. With a password: whoever sends it by HTTP basic
 * authentication, under any user name. Without: only this machine, so nobody at all where others can connect.
 */
export function createAccessCheck(config: {
  readonly host: string
  readonly dashboardPassword: string | null
}): (headers: { readonly host?: string | undefined; readonly authorization?: string | undefined }) => Refusal | null {
  const { host, dashboardPassword } = config
  if (dashboardPassword !== null) {
    const isPassword = constantTimeComparison(dashboardPassword)
    return ({ authorization }) => (isPassword(passwordIn(authorization)) ? null : UNAUTHORIZED)
  }
  if (!isLoopbackHost(host)) return () => CLOSED
  // A page on the internet can point its own name at 127.0.0.1 and read us as its origin; the Host header tells.
  return (headers) => (isOwnName(hostNameIn(headers.host), host) ? null : FOREIGN_NAME)
}

const UNAUTHORIZED: Refusal = { status: 401, error: 'unauthorized', message: 'The password is DASHBOARD_PASSWORD.' }
const CLOSED: Refusal = {
  status: 403,
  error: 'forbidden',
  message: 'Set DASHBOARD_PASSWORD to serve this page on a host that others can reach.',
}
const FOREIGN_NAME: Refusal = {
  status: 403,
  error: 'forbidden',
  message: 'Without DASHBOARD_PASSWORD this page is served only under localhost or the configured HTTP_HOST.',
}

/** Digests of equal length under a key of the moment, so that neither length nor prefix shows in the time taken. */
function constantTimeComparison(expected: string): (candidate: string) => boolean {
  const key = randomBytes(32)
  const digest = (text: string) => createHmac('sha256', key).update(text).digest()
  const wanted = digest(expected)
  return (candidate) => timingSafeEqual(digest(candidate), wanted)
}

/** RFC 7617: base64 of `user:password`, in which only the user may hold no colon. Empty when there is none. */
function passwordIn(authorization = ''): string {
  const encoded = /^basic +([a-z0-9+/]+=*)$/i.exec(authorization)?.[1] ?? ''
  const pair = Buffer.from(encoded, 'base64').toString('utf8')
  return /^[^:]*:(.*)$/s.exec(pair)?.[1] ?? ''
}

function hostNameIn(header = ''): string {
  return header.replace(/:\d*$/, '')
}

function isOwnName(name: string, configured: string): boolean {
  return isLoopbackHost(name) || name.toLowerCase() === configured.toLowerCase()
}
