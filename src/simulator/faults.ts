import { drawShare, TRAIT, toIdentity, toSeedKey } from './random.js'

/** Everything that can go wrong with an answer on request. */
export const FAULT_KINDS = [
  /** 402 with `PAYMENT_OVERDUE`. */
  'http402',
  /** 429 as if others had used up the budget, with a `Retry-After` in the form that the rate limit's answers have. */
  'http429',
  /** The same with a date. */
  'http429Date',
  /** The same with `retry_after` in the body, and no such header. */
  'http429Body',
  'http500',
  /** 502 of a gateway, in HTML. */
  'http502',
  /** 503 with `SERVICE_BUSY` and `retry_after`. */
  'http503',
  /** The connection ends without an answer. */
  'dropped',
  /** The connection ends in the middle of the body. */
  'cutBody',
  /** The body comes in pieces, over `slowBodyMs`. */
  'slowBody',
  /** No answer, and the connection stays open. */
  'hang',
  /** 200 with HTML. */
  'notJson',
  /** Every fourth item, beginning with the first, is one that no schema should let pass. */
  'malformedItems',
  /** `pagination.page` is one more than asked. */
  'wrongPage',
  /** `pagination.limit` is one less than asked. */
  'wrongLimit',
  /** `totalPages` is two more than the total needs. */
  'totalPagesHigh',
  /** `totalPages` is one less than the total needs. */
  'totalPagesLow',
  /** `jobs` is empty. */
  'emptyPage',
  /** The first item comes twice, and the last one not at all. */
  'duplicatedItems',
  /** `total` and `totalPages` are those of a list with seven jobs more. */
  'wrongTotal',
] as const

export type FaultKind = (typeof FAULT_KINDS)[number]

export interface FaultOptions {
  /** Share of the answers that each kind befalls; together at most 1. Drawn from the seed. Default none. */
  readonly rates?: Readonly<Partial<Record<FaultKind, number>>>
  /** How long a slow body takes. Default 1000. */
  readonly slowBodyMs?: number
  /** What the 429 and 503 faults ask to wait. Default 60. */
  readonly retryAfterSeconds?: number
}

export interface Faults {
  /** Lets the next answer fail, or as many; those for one page alone if it is given. Goes before the random ones. */
  next(kind: FaultKind, options?: { readonly times?: number; readonly page?: number }): void
  /** Scripted faults that have not befallen an answer yet. */
  readonly pending: number
  /** Takes back all scripted faults. */
  clear(): void
  /** From the next answer on, random faults come at these rates. */
  setRates(rates: NonNullable<FaultOptions['rates']>): void
}

/** What the server asks before each answer. */
export interface FaultSource extends Faults {
  /** The fault of the answer to a request, null for none. A scripted one is used up by it. */
  take(request: { readonly number: number; readonly page: number }): FaultKind | null
}

interface Script {
  readonly kind: FaultKind
  readonly page: number | undefined
  times: number
}

export function createFaults(seed: number, firstRates: NonNullable<FaultOptions['rates']> = {}): FaultSource {
  const seedKey = toSeedKey(seed)
  let rates = firstRates
  let scripts: Script[] = []

  function takeScripted(page: number): FaultKind | null {
    const script = scripts.find((candidate) => candidate.page === undefined || candidate.page === page)
    if (script === undefined) return null
    script.times -= 1
    scripts = scripts.filter((other) => other.times > 0)
    return script.kind
  }

  function drawRandom(request: number): FaultKind | null {
    let left = drawShare(toIdentity(seedKey, request), TRAIT.fault)
    for (const kind of FAULT_KINDS) {
      left -= rates[kind] ?? 0
      if (left < 0) return kind
    }
    return null
  }

  return {
    next: (kind, { times = 1, page } = {}) => void scripts.push({ kind, page, times }),
    get pending() {
      return scripts.reduce((sum, script) => sum + script.times, 0)
    },
    clear() {
      scripts = []
    },
    setRates(changed) {
      rates = changed
    },
    take: ({ number, page }) => takeScripted(page) ?? drawRandom(number),
  }
}
