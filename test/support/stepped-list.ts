import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'

export interface SteppedOptions extends SimulatorOptions {
  /** Milliseconds of the simulator's clock that pass before each answer, in turn. */
  readonly steps: readonly number[]
  /** Longest time between two stored versions, in milliseconds of the simulator's clock. */
  readonly resolutionMs: number
}

/** A simulator whose clock advances only with its requests, with every version of its list. */
export interface SteppedList extends AsyncDisposable {
  readonly simulator: Simulator
  /** Advances the clock without a request. */
  pass(ms: number): void
  /** The time of the simulator's clock, epoch milliseconds. */
  readonly instant: number
  /** Whether a version of the list since an instant had exactly these jobs. */
  hasBeen(uuids: ReadonlySet<string>, since: number): boolean
  /** Jobs of the latest version. */
  readonly listed: ReadonlySet<string>
}

const EPOCH = Date.UTC(2026, 0, 1)

/** Starts a simulator with the options, except `now` and `epoch`. */
export async function startSteppedList({ steps, resolutionMs, ...options }: SteppedOptions): Promise<SteppedList> {
  let now = EPOCH
  let requests = 0
  /** Each version, its newest job, and the time at which it was last current. */
  const versions: { readonly uuids: ReadonlySet<string>; readonly newest: string | undefined; until: number }[] = []

  const simulator = await startSimulator({
    rateLimit: 'off',
    ...options,
    epoch: EPOCH,
    now: () => now,
    async beforeAnswer(request) {
      await options.beforeAnswer?.(request)
      pass(steps[requests % steps.length] ?? 0)
      requests += 1
    },
  })

  function note(): void {
    const { total } = simulator.account
    const newest = simulator.account.allUuids().next().value
    const last = versions.at(-1)
    // An added job changes the newest one, and a removed job changes the total.
    if (last !== undefined && last.newest === newest && last.uuids.size === total) last.until = now
    else versions.push({ uuids: new Set(simulator.account.allUuids()), newest, until: now })
  }

  function pass(ms: number): void {
    for (let left = ms; left > 0; left -= resolutionMs) {
      now += Math.min(left, resolutionMs)
      note()
    }
  }
  note()

  return {
    simulator,
    pass,
    get instant() {
      return now
    },
    get listed() {
      return new Set(simulator.account.allUuids())
    },
    hasBeen: (uuids, since) =>
      versions.some((version) => version.until >= since - resolutionMs && areEqual(version.uuids, uuids)),
    [Symbol.asyncDispose]: () => simulator.close(),
  }
}

function areEqual(one: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  return one.size === other.size && [...one].every((uuid) => other.has(uuid))
}
