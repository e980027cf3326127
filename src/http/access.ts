import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { isIPv4 } from 'node:net'
import { isLoopbackHost } from '../config/variables.js'

/** The answer to a refused request. */
export interface Refusal {
  readonly status: 401 | 403 | 429
  readonly error: string
  /** Heading of the page that a browser gets. */
  readonly title: string
  /** What to do, in a sentence. */
  readonly message: string
  readonly headers: Readonly<Record<string, string>>
}

export interface AccessOptions {
  readonly host: string
  readonly dashboardPassword: string | null
  /** Called when an address has sent too many wrong passwords. */
  readonly onBlocked?: (address: string) => void
  /** Milliseconds on a clock that never goes back. Default: `performance.now`. */
  readonly now?: () => number
}

/** Returns the refusal of a request; null if it may pass. */
export type AccessCheck = (
  headers: { readonly host?: string | undefined; readonly authorization?: string | undefined },
  /** The client's IP address. */
  address: string,
) => Refusal | null

/** Whether the dashboard is closed to everybody: no password is set, and other machines can reach the address. */
export function isDashboardClosed({ host, dashboardPassword }: AccessOptions): boolean {
  return dashboardPassword === null && !isLoopbackHost(host)
}

/**
 * Creates the check of who may see more than the probes and the metrics. With a password: every client that sends it by
 * HTTP basic authentication, under any user name. Without one: only clients on this machine, and none at all if the server
 * listens on an address that other machines can reach.
 */
export function createAccessCheck(options: AccessOptions): AccessCheck {
  const { dashboardPassword } = options
  if (dashboardPassword !== null) return passwordCheck(dashboardPassword, options)
  if (isDashboardClosed(options)) return () => CLOSED
  // DNS rebinding: a page on the internet can point its own name at 127.0.0.1. The Host header shows that name.
  return (headers) => (isOwnName(headers.host) ? null : FOREIGN_NAME)
}

/** Refuses an address after too many wrong passwords, even the right one, because otherwise it could go on guessing. */
function passwordCheck(expected: string, { onBlocked, now }: AccessOptions): AccessCheck {
  const isPassword = constantTimeComparison(expected)
  const failures = createFailedPasswords(now)
  return ({ authorization }, address) => {
    const waitMs = failures.waitOf(address)
    if (waitMs > 0) return tooManyFailures(waitMs)
    // A browser sends its first request without a password.
    if (authorization === undefined) return UNAUTHORIZED
    if (isPassword(passwordIn(authorization))) return null
    if (failures.note(address)) onBlocked?.(address)
    return UNAUTHORIZED
  }
}

const UNAUTHORIZED: Refusal = {
  status: 401,
  error: 'unauthorized',
  title: 'This page needs a password',
  message: 'Send the password that DASHBOARD_PASSWORD sets.',
  headers: { 'www-authenticate': 'Basic realm="spidra-sync", charset="UTF-8"' },
}
const CLOSED: Refusal = {
  status: 403,
  error: 'forbidden',
  title: 'The dashboard is closed',
  message:
    'Other machines can reach this address, and no password is set. Set the variable DASHBOARD_PASSWORD and restart spidra-sync: the browser then asks for that password, under any user name.',
  headers: {},
}
const FOREIGN_NAME: Refusal = {
  status: 403,
  error: 'forbidden',
  title: 'The dashboard is closed under this name',
  message: 'Without DASHBOARD_PASSWORD this page is served only under localhost or the configured HTTP_HOST.',
  headers: {},
}

function tooManyFailures(waitMs: number): Refusal {
  return {
    status: 429,
    error: 'too_many_requests',
    title: 'Too many wrong passwords',
    message: 'This address has sent too many wrong passwords. Wait for the number of seconds in Retry-After.',
    headers: { 'retry-after': String(Math.ceil(waitMs / 1000)) },
  }
}

/** Compares digests of equal length under a random key, so that the time taken reveals neither length nor prefix. */
function constantTimeComparison(expected: string): (candidate: string) => boolean {
  const key = randomBytes(32)
  const digest = (text: string) => createHmac('sha256', key).update(text).digest()
  const wanted = digest(expected)
  return (candidate) => timingSafeEqual(digest(candidate), wanted)
}

/** Decodes base64 of `user:password` (RFC 7617); the user holds no colon. Returns an empty text if there is no password. */
function passwordIn(authorization: string): string {
  const encoded = /^basic +([a-z0-9+/]+=*)$/i.exec(authorization)?.[1] ?? ''
  const pair = Buffer.from(encoded, 'base64').toString('utf8')
  return /:(.*)/s.exec(pair)?.[1] ?? ''
}

/** Whether a Host header names this machine, with or without a port. */
function isOwnName(header: string | undefined): boolean {
  return header !== undefined && isLoopbackHost(header.replace(/:\d*$/, ''))
}

/** Wrong passwords that a client may send within a window. */
const MAX_FAILURES = 10

/** Begins with a client's first wrong password, in milliseconds. It allows 2,880 guesses a day. */
const WINDOW_MS = 5 * 60_000

/** Clients that are remembered at most, so that requests from many addresses cannot fill the memory. */
const MAX_CLIENTS = 1_000

/** Counts of wrong passwords by client, in memory. */
interface FailedPasswords {
  /** Milliseconds until the client may try again; 0: now. */
  waitOf(address: string): number
  /** Counts a wrong password. Returns true if it was the last that the window allows. */
  note(address: string): boolean
}

/** @param now milliseconds on a clock that never goes back. */
function createFailedPasswords(now: () => number = () => performance.now()): FailedPasswords {
  // In the order of the last wrong passwords, so the client to forget comes first.
  const failures = new Map<string, { readonly until: number; count: number }>()

  function current(client: string) {
    const found = failures.get(client)
    return found !== undefined && found.until > now() ? found : null
  }

  return {
    waitOf(address) {
      const found = current(clientOf(address))
      return found !== null && found.count >= MAX_FAILURES ? found.until - now() : 0
    },
    note(address) {
      const client = clientOf(address)
      const found = current(client) ?? { until: now() + WINDOW_MS, count: 0 }
      found.count += 1
      failures.delete(client)
      failures.set(client, found)
      const [oldest] = failures.keys()
      if (failures.size > MAX_CLIENTS && oldest !== undefined) failures.delete(oldest)
      return found.count === MAX_FAILURES
    },
  }
}

/**
 * The client of an address: an IPv4 address, also one mapped into IPv6, or the /64 network of an IPv6 address, which one
 * machine can own as a whole.
 */
function clientOf(address: string): string {
  const ipv4 = address.replace(/^::ffff:/i, '')
  if (isIPv4(ipv4)) return ipv4
  const [left = [], right = []] = address.split('::').map((part) => part.split(':').filter(Boolean))
  const zeros = Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0')
  return [...left, ...zeros, ...right].slice(0, 4).join(':')
}
