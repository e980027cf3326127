import { TIMING } from '../../src/config/scale.js'
import {
  afterAnswer,
  afterSending,
  type BudgetAnswer,
  decideSending,
  firstWindow,
  rollWindow,
} from '../../src/spidra/budget-rules.js'

/** A server with a fixed window, and the clients that send to it. */
export interface Scene {
  readonly limit: number
  /** The limit configured on our side; null for none. Default `limit`. */
  readonly knows?: number | null
  readonly windowMs: number
  readonly reserve: number
  /** Requests in flight at most. */
  readonly concurrency: number
  /** Our requests that must succeed. */
  readonly work: number
  /** Milliseconds to the server and back, for each request in turn; repeated from the start when used up. */
  readonly ways: readonly (readonly [there: number, back: number])[]
  /** Minimum milliseconds between one request and the next, in turn. Default none. */
  readonly paces?: readonly number[]
  /** What the answers report. `floor` rounds the reset down. */
  readonly reports: 'reset' | 'floor' | 'remaining' | 'nothing'
  readonly sendsRetryAfter: boolean
  /** Milliseconds by which the server's clock is behind ours, if it reports its reset as a date. */
  readonly behindMs?: number
  /** Requests of other clients: at the start of each window, and after each request of ours. `leave` stays unused. */
  readonly others?: { readonly atStart: readonly number[]; readonly along: readonly number[]; readonly leave: number }
}

/** The result of a simulated course. */
export interface Course {
  /** One entry per window of the server in which we sent a request. */
  readonly windows: readonly { readonly ours: number; readonly refused: number }[]
  readonly served: number
  readonly endedAt: number
}

interface Arrival {
  readonly at: number
  act(): void
}

const GIVE_UP_AFTER = 100_000

/** Runs the pure budget functions against a simulated server with a fixed window, in simulated time. */
export function runThrough(scene: Scene): Course {
  const { limit, windowMs, reserve, concurrency, work, ways, others } = scene
  const server = { endsAt: 0, used: 0, taken: 0, ours: 0, refused: 0, number: 0 }
  const windows: { ours: number; refused: number }[] = []
  const arrivals: Arrival[] = []
  // Not a whole second, so that windows do not end on whole seconds.
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
    }[scene.reports]
    const rateLimit =
      scene.reports === 'nothing'
        ? null
        : { limit, remaining, resetInMs: resetInMs === null ? null : Math.max(0, resetInMs - (scene.behindMs ?? 0)) }
    othersTake(turn(others?.along ?? [], sent))
    const retryAfterMs = isRateLimited && scene.sendsRetryAfter ? Math.ceil(seconds) * 1000 : null
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
    const decision = decideSending(window, reserve, now)
    const hasSlot = window.inFlight < Math.min(concurrency, work - served)
    if (decision.mayGo && hasSlot && now >= readyAt) {
      send()
      continue
    }
    arrivals.sort((one, other) => one.at - other.at)
    const next = arrivals[0]
    const resumeAt = decision.mayGo ? readyAt : decision.resumeAt
    const mayResume = hasSlot && resumeAt !== null
    if (next !== undefined && !(mayResume && resumeAt < next.at)) {
      arrivals.shift()
      now = Math.max(now, next.at)
      next.act()
    } else if (mayResume) {
      now = resumeAt
    } else {
      throw new Error('the budget waits, but no event is left')
    }
  }
  return { windows, served, endedAt: now - beganAt }
}
