/**
 * `not_installed`: npm has no binaries for this platform. `wrong_version`: the data are those of another major version.
 * `not_permitted`: the directory belongs to someone else. `not_created`, `not_started`, `not_stopped`: Postgres says why.
 */
export type EmbeddedPostgresErrorCode =
  | 'not_installed'
  | 'wrong_version'
  | 'not_permitted'
  | 'not_created'
  | 'not_started'
  | 'not_stopped'

/** The embedded Postgres cannot be used. The message ends in what to do, or in the server's own last words. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError'
  readonly code: EmbeddedPostgresErrorCode

  constructor(message: string, details: { code: EmbeddedPostgresErrorCode; cause?: unknown }) {
    super(message, { cause: details.cause })
    this.code = details.code
  }
}
