/** Why an answer was unusable, in words a dashboard can group by. */
export type SpidraErrorCode =
  | 'unauthorized'
  | 'forbidden'
  | 'payment_required'
  | 'rate_limited'
  | 'server_error'
  | 'bad_payload'
  | 'timeout'
  | 'network'
  | 'rejected'

const RETRYABLE: ReadonlySet<SpidraErrorCode> = new Set([
  'rate_limited',
  'server_error',
  'bad_payload',
  'timeout',
  'network',
])

/** No answer that can be used. Carries neither the key nor the body. */
export class SpidraError extends Error {
  override readonly name = 'SpidraError'
  readonly code: SpidraErrorCode
  /** HTTP status; null when no answer came. */
  readonly status: number | null
  /** How long the API asked us to wait, in milliseconds; null when it did not say. */
  readonly retryAfterMs: number | null

  constructor(
    message: string,
    details: { code: SpidraErrorCode; status: number | null; retryAfterMs?: number | null; cause?: unknown },
  ) {
    super(message, { cause: details.cause })
    this.code = details.code
    this.status = details.status
    this.retryAfterMs = details.retryAfterMs ?? null
  }

  /** Whether the same request may succeed later. */
  get isRetryable(): boolean {
    return RETRYABLE.has(this.code)
  }
}
