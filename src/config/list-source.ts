import { createHash } from 'node:crypto'

/** Where a list of jobs is read from. */
export interface ListSource {
  readonly apiUrl: string
  /** What people are told to check: `SPIDRA_API_KEY`, or the account's key and its place. */
  readonly keyOrigin: string
  /** Of URL and key. It tells whether they are the same as before, and cannot be read back. */
  readonly fingerprint: string
}

/** Half a SHA-256, in hexadecimal digits. */
const FINGERPRINT_DIGITS = 32

/** The source that a key and a URL stand for. */
export function toListSource({
  apiUrl,
  apiKey,
  keyOrigin,
}: {
  readonly apiUrl: string
  readonly apiKey: string
  readonly keyOrigin: string
}): ListSource {
  const digest = createHash('sha256').update(`${apiUrl}\n${apiKey}`).digest('hex')
  return { apiUrl, keyOrigin, fingerprint: digest.slice(0, FINGERPRINT_DIGITS) }
}
