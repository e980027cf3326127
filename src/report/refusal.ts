import { databaseErrorCode } from '../db/connection-error.js'

/** What a page says that cannot be shown. */
export interface Refusal {
  /** HTTP status: 503 where it may be different soon, 500 where the fault is ours. */
  readonly code: 503 | 500
  readonly title: string
  readonly words: string
}

/** Says why the database gave no page, by what it threw. Says nothing of server, query or user: readers may not know them. */
export function toRefusal(error: unknown): Refusal {
  const code = databaseErrorCode(error)
  switch (code) {
    case null:
      return {
        code: 500,
        title: 'This page could not be made',
        words: 'The fault is in spidra-sync. The log has the error.',
      }
    case 'unreachable':
      return {
        code: 503,
        title: 'The database does not answer',
        words: 'Nothing can be shown now. The service keeps trying; /readyz says more, and the log has the error.',
      }
    case 'busy':
      return {
        code: 503,
        title: 'No connection to the database is free',
        words:
          'The connections of this process are all in use, or could not be opened in time. Runs may go on all the same; /readyz says more.',
      }
    case 'time_limit':
      return {
        code: 503,
        title: 'The database took too long',
        words: 'It answers, but a query of this page was cut off at its time limit. Runs may go on all the same.',
      }
    default:
      return {
        code: 503,
        title: 'The database refuses what this page asks',
        words: `It answers with an error (${code}). The log has it; /readyz says more.`,
      }
  }
}
