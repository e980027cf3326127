import { TIMING } from '../../src/config/scale.js'
import {
  afterAnswer,
  afterSending,
  type BudgetAnswer,
  firstWindow,
  outlookOf,
  rollWindow,
} from '../../src/spidra/budget-window.js'

export interface Scene {
  readonly limit: number
  /** The limit that is configured on our side; null for none. Default `limit`. */
  readonly knows?: number | null
  readonly windowMs: number
  readonly reserve: number
  /** Requests in flight at most. */
  readonly concurrency: number
  /** Requests that must succeed. */
  readonly work: number
  /** Milliseconds there and back of each request in turn, over and over. */
  readonly ways: readonly (readonly [there: number, back: number])[]
  /** Milliseconds that pass at least between one request and the next, in turn. Default none. */
  readonly paces?: readonly number[]
  /** What the server tells. `floor` rounds the reset down. */
  readonly tells: 'reset' | 'floor' | 'remaining' | 'nothing'
  readonly tellsRetryAfter: boolean
  /** Milliseconds by which the server's clock is behind ours, where it tells its reset as a date. */
  readonly behindMs?: number
  /** Requests of others: at the beginning of each window, and whenever the server has counted one of ours. */
  readonly others?: { readonly atStart: readonly number[]; readonly along: readonly number[]; readonly leave: number }
}

export interface Course {
  /** Of each window of the server that saw a request of ours. */
  readonly windows: readonly { readonly ours: number; readonly refused: number }[]
  readonly served: number
  readonly endedAt: number
}

interface Arrival {
  readonly at: number
  act(): void
}

const GIVE_UP_AFTER = 100_000

/** Lets the pure budget work against a fixed-window server, in time that passes only here. */
export function runThrough(scene: Scene): Course {
  const { limit, windowMs, reserve, concurrency, work, ways, others } = scene
  const server = { endsAt: 0, used: 0, taken: 0, ours: 0, refused: 0, number: 0 }
  const windows: { ours: number; refused: number }[] = []
  const arrivals: Arrival[] = []
  // Not at zero, so that ends are not whole seconds.
  let now = 1_700_000_000_123
  const beganAt = now
  let window = firstWindow(scene.knows === undefined ? limit : scene.knows, TIMING)
  let sent = 0
  let readyAt = now
  let served = 0

  const turn = (list: readonly number[], index: number) => list[index % Math.max(1, list.length)] ?? 0

  function othersTake(wanted: number): void {
    if (others === undefined) return
    const allowed = Math.max(0, limit - others.leave - server.taken)
    const taken = Math.min(wanted, allowed)
    server.taken += taken
    server.used += taken
  }

  function count(): BudgetAnswer {
    if (now >= server.endsAt) {
      Object.assign(server, { endsAt: now + windowMs, used: 0, taken: 0, number: server.number + 1 })
      windows.push({ ours: 0, refused: 0 })
      othersTake(turn(others?.atStart ?? [], server.number))
    }
    const tally = windows.at(-1)
    if (tally === undefined) throw new Error('no window')
    server.used += 1
    tally.ours += 1
    const isRateLimited = server.used > limit
    if (isRateLimited) tally.refused += 1
    const remaining = Math.max(0, limit - server.used)
    const seconds = (server.endsAt - now) / 1000
    const resetInMs = {
      reset: Math.ceil(seconds) * 1000,
      floor: Math.floor(seconds) * 1000,
      remaining: null,
      nothing: null,
    }[scene.tells]
    const rateLimit =
      scene.tells === 'nothing'
        ? null
        : { limit, remaining, resetInMs: resetInMs === null ? null : Math.max(0, resetInMs - (scene.behindMs ?? 0)) }
    othersTake(turn(others?.along ?? [], sent))
    const retryAfterMs = isRateLimited && scene.tellsRetryAfter ? Math.ceil(seconds) * 1000 : null
    return { rateLimit, isRateLimited, retryAfterMs }
  }

  function send(): void {
    const [there, back] = ways[sent % ways.length] ?? [1, 1]
    sent += 1
    readyAt = now + turn(scene.paces ?? [], sent)
    window = afterSending(window, now)
    arrivals.push({
      at: now + there,
      act() {
        const answer = count()
        arrivals.push({
          at: now + back,
          act() {
            window = afterAnswer(window, answer, now, windowMs)
            if (!answer.isRateLimited) served += 1
          },
        })
      },
    })
  }

  while (served < work && sent < GIVE_UP_AFTER) {
    window = rollWindow(window, now)
    const outlook = outlookOf(window, reserve, now)
    const hasHands = window.inFlight < Math.min(concurrency, work - served)
    if (outlook.mayGo && hasHands && now >= readyAt) {
      send()
      continue
    }
    arrivals.sort((one, other) => one.at - other.at)
    const next = arrivals[0]
    const resumeAt = outlook.mayGo ? readyAt : outlook.resumeAt
    const mayResume = hasHands && resumeAt !== null
    if (next !== undefined && !(mayResume && resumeAt < next.at)) {
      arrivals.shift()
      now = Math.max(now, next.at)
      next.act()
    } else if (mayResume) {
      now = resumeAt
    } else {
      throw new Error('waits for nothing')
    }
  }
  return { windows, served, endedAt: now - beganAt }
}
