import type { FaultKind } from './faults.js'

/** A request as the simulator answered it. */
export interface LoggedRequest {
  /** From 1, in the order in which requests came. */
  readonly number: number
  /** Number of the account whose list was asked for, or shown. Like page and limit null where it was refused before. */
  readonly account: number | null
  /** Which backend answered, from 1: the first is up to date. Null where none had to. */
  readonly backend: number | null
  readonly page: number | null
  readonly limit: number | null
  /** Epoch ms of the simulator's clock when it was answered. */
  readonly at: number
  /** Null where no status line was sent: dropped, or left hanging. */
  readonly status: number | null
  readonly address: string
  readonly fault: FaultKind | null
  /** When the rate limit window that counted it ends, epoch ms; null where no limit is set. */
  readonly windowEndsAt: number | null
}

export interface RequestLog {
  readonly last: readonly LoggedRequest[]
  add(request: LoggedRequest): void
}

/** Keeps the last `kept` requests. */
export function createRequestLog(kept: number): RequestLog {
  let requests: LoggedRequest[] = []
  return {
    get last() {
      return requests.slice(-kept)
    },
    add(request) {
      // Trimmed only when it is twice as long, so that a request costs the same however many are kept.
      if (requests.length >= 2 * kept) requests = requests.slice(-kept)
      requests.push(request)
    },
  }
}
