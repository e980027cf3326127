import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { isLoopbackHost } from '../config/variables.js'
import { createFailedPasswords } from './failed-passwords.js'

/** Why a request is refused, ready to be sent; null when it may pass. */
export interface Refusal {
  readonly status: 401 | 403 | 429
  readonly error: string
  readonly message: string
  readonly headers: Readonly<Record<string, string>>
}

export interface AccessOptions {
  readonly host: string
  readonly dashboardPassword: string | null
  /** Hears of a client whose wrong passwords have become too many. */
  readonly onBlocked?: (address: string) => void
  /** See `createFailedPasswords`. */
  readonly now?: () => number
}

export type AccessCheck = (
  headers: { readonly host?: string | undefined; readonly authorization?: string | undefined },
  /** The client's IP address. */
  address: string,
) => Refusal | null

/**
 * Decides who may see more than the probes and the metrics. With a password: whoever sends it by HTTP basic
 * authentication, under any user name. Without: only this machine, so nobody at all where others can connect.
 */
export function createAccessCheck(options: AccessOptions): AccessCheck {
  const { host, dashboardPassword } = options
  if (dashboardPassword !== null) return passwordCheck(dashboardPassword, options)
  if (!isLoopbackHost(host)) return () => CLOSED
  // A page on the internet can point its own name at 127.0.0.1 and read us as its origin; the Host header tells.
  return (headers) => (isOwnName(hostNameIn(headers.host), host) ? null : FOREIGN_NAME)
}

/** A client that has guessed too often is not listened to, not even where it guesses right: else it could go on. */
function passwordCheck(expected: string, { onBlocked, now }: AccessOptions): AccessCheck {
  const isPassword = constantTimeComparison(expected)
  const failures = createFailedPasswords(now)
  return ({ authorization }, address) => {
    const waitMs = failures.waitOf(address)
    if (waitMs > 0) return tooManyFailures(waitMs)
    if (isPassword(passwordIn(authorization))) return null
    // A browser asks without a password first.
    if (authorization !== undefined && failures.note(address)) onBlocked?.(address)
    return UNAUTHORIZED
  }
}

const UNAUTHORIZED: Refusal = {
  status: 401,
  error: 'unauthorized',
  message: 'The password is DASHBOARD_PASSWORD.',
  headers: { 'www-authenticate': 'Basic realm="spidra-sync", charset="UTF-8"' },
}
const CLOSED: Refusal = {
  status: 403,
  error: 'forbidden',
  message: 'Set DASHBOARD_PASSWORD to serve this page on a host that others can reach.',
  headers: {},
}
const FOREIGN_NAME: Refusal = {
  status: 403,
  error: 'forbidden',
  message: 'Without DASHBOARD_PASSWORD this page is served only under localhost or the configured HTTP_HOST.',
  headers: {},
}

function tooManyFailures(waitMs: number): Refusal {
  return {
    status: 429,
    error: 'too_many_requests',
    message: 'Too many wrong passwords came from this address. Wait; Retry-After tells how many seconds.',
    headers: { 'retry-after': String(Math.ceil(waitMs / 1000)) },
  }
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
