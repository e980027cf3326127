import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/server.js'

export interface SteppedOptions extends SimulatorOptions {
  /** Milliseconds of the simulator's clock that pass before each answer, in turn. */
  readonly steps: readonly number[]
  /** Between two versions that are kept, at most, in milliseconds of the simulator's clock. */
  readonly resolutionMs: number
}

/** A simulator whose clock advances with its requests alone, and every version that its list has had. */
export interface SteppedList extends AsyncDisposable {
  readonly simulator: Simulator
  /** Lets time pass without a request. */
  pass(ms: number): void
  /** Of the simulator's clock, epoch milliseconds. */
  readonly instant: number
  /** Whether these jobs are the whole list in one of its versions since an instant. */
  hasBeen(uuids: ReadonlySet<string>, since: number): boolean
  /** Jobs of the latest version. */
  readonly listed: ReadonlySet<string>
}

const EPOCH = Date.UTC(2026, 0, 1)

/** Starts the simulator of the options, `now` and `epoch` apart. */
export async function startSteppedList({ steps, resolutionMs, ...options }: SteppedOptions): Promise<SteppedList> {
  let now = EPOCH
  let requests = 0
  /** Each version, with its newest job, and the instant at which it was last seen. */
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
    // A job that came changes the newest one, and one that went changes the total.
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
