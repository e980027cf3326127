import { FlagError, UsageError } from '../config/errors.js'
import { errorCodeOf } from '../logging/error-code.js'
import { FAULT_KINDS, type FaultKind } from '../simulator/faults.js'
import { type Simulator, type SimulatorOptions, startSimulator } from '../simulator/server.js'

/** The flags of `simulate`, as typed on the command line. */
export interface SimulateFlags {
  /** `--port`: 0 for any free one. Default 4010. */
  readonly port?: string
  /** `--jobs`: jobs that exist at the start. Default 2000. */
  readonly jobs?: string
  /** `--seed`: same seed, same jobs. Default 1. */
  readonly seed?: string
  /**
   * `--epoch`: ISO instant at which the account was created. The same instant gives the same account again, with the jobs
   * that have arrived since. Default now.
   */
  readonly epoch?: string
  /** `--arrivals`: new jobs per minute. Default 6. */
  readonly arrivals?: string
  /** `--removals`: jobs that are removed per minute. Default 0. */
  readonly removals?: string
  /** `--speed`: how many times faster than in reality a job progresses. Default 1. */
  readonly speed?: string
  /** `--latency`: milliseconds before each answer. Default 0. */
  readonly latency?: string
  /** `--key`: the API key of the account. Default `spd_demo`. */
  readonly key?: string
  /** `--accounts`: number of accounts; the second has the key `<key>_2`, and so on. Default 1. */
  readonly accounts?: string
  /** `--rate-limit`: requests per window, or `off`. Default 300. */
  readonly rateLimit?: string
  /** `--window`: seconds of a rate limit window. Default 900. */
  readonly window?: string
  /** `--faults`: comma list of `kind:share`, for example `http500:0.02,dropped:0.01`. Default none. */
  readonly faults?: string
  /** `--ties`: share of the jobs that have the createdAt of the job before them. Default 0.05. */
  readonly ties?: string
  /** `--cap`: jobs listed at most; each arrival drops the oldest. Default no limit. */
  readonly cap?: string
  /** `--lag`: seconds by which half of the answers are late, as from a replica. Default 0. */
  readonly lag?: string
}

/**
 * `spidra-sync simulate`: runs the simulator until the signal aborts, and writes its address to `stdout`.
 *
 * @throws {FlagError} when the value of a flag cannot be used
 * @throws {UsageError} when the port is in use
 */
export async function runSimulate(run: {
  readonly flags: SimulateFlags
  readonly stdout: { write(text: string): unknown }
  readonly signal: AbortSignal
}): Promise<void> {
  const options = toSimulatorOptions(run.flags)
  await using simulator = await startSimulator(options).catch((error: unknown) => {
    const code = errorCodeOf(error)
    if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error
    throw new UsageError(`--port ${options.port} cannot be used (${code})`, { cause: error })
  })
  run.stdout.write(`${toGreeting(simulator)}\n`)
  run.stdout.write(`Try: curl -H 'x-api-key: ${simulator.key}' '${simulator.url}/batch/scrape?page=1&limit=50'\n`)

  await new Promise<void>((resolve) => {
    if (run.signal.aborted) resolve()
    run.signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** Describes the accounts, their URL and their keys. */
function toGreeting({ account, accounts, key, url }: Simulator): string {
  const last = accounts.at(-1)
  if (last === undefined || accounts.length === 1) {
    return `Spidra account with ${account.total} batch jobs at ${url} (key ${key})`
  }
  const jobs = accounts.reduce((sum, keyed) => sum + keyed.account.total, 0)
  const keys = accounts.length === 2 ? `keys ${key} and ${last.key}` : `keys ${key}, ${key}_2 to ${last.key}`
  return `${accounts.length} Spidra accounts with ${jobs} batch jobs at ${url} (${keys})`
}

/** Checks the flags and converts them to options. */
export function toSimulatorOptions(flags: SimulateFlags): SimulatorOptions {
  const { rateLimit = '300', key = 'spd_demo' } = flags
  if (key.trim() === '') throw new FlagError('--key must not be empty')
  const lagMs = readNumber('--lag', flags.lag, 0, { low: 0, high: 86_400 }) * 1000
  const windowMs = readNumber('--window', flags.window, 900, { low: 1, high: 86_400 }) * 1000
  return {
    port: readWhole('--port', flags.port, 4010, { low: 0, high: 65_535 }),
    jobs: readWhole('--jobs', flags.jobs, 2000, { low: 0, high: 100_000_000 }),
    seed: readWhole('--seed', flags.seed, 1, { low: 0, high: 2 ** 32 - 1 }),
    ...(flags.epoch === undefined ? {} : { epoch: readInstant('--epoch', flags.epoch) }),
    arrivalsPerMinute: readNumber('--arrivals', flags.arrivals, 6, { low: 0, high: 1_000_000 }),
    removalsPerMinute: readNumber('--removals', flags.removals, 0, { low: 0, high: 1_000_000 }),
    speed: readNumber('--speed', flags.speed, 1, { low: 0.001, high: 1_000_000 }),
    latencyMs: readNumber('--latency', flags.latency, 0, { low: 0, high: 600_000 }),
    key,
    accounts: readWhole('--accounts', flags.accounts, 1, { low: 1, high: 10_000 }),
    rateLimit:
      rateLimit === 'off'
        ? 'off'
        : { limit: readWhole('--rate-limit', rateLimit, 300, { low: 1, high: 1_000_000_000 }), windowMs },
    faults: { rates: readRates(flags.faults ?? '') },
    ties: readNumber('--ties', flags.ties, 0.05, { low: 0, high: 1 }),
    ...(flags.cap === undefined ? {} : { cap: readWhole('--cap', flags.cap, 1, { low: 1, high: 100_000_000 }) }),
    ...(lagMs === 0 ? {} : { backends: { count: 2, lagMs } }),
  }
}

interface Range {
  readonly low: number
  readonly high: number
}

function readNumber(flag: string, text: string | undefined, byDefault: number, { low, high }: Range): number {
  if (text === undefined) return byDefault
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (value >= low && value <= high) return value
  throw new FlagError(`${flag} must be a number from ${low} to ${high}, not "${text}"`)
}

function readWhole(flag: string, text: string | undefined, byDefault: number, range: Range): number {
  const value = readNumber(flag, text, byDefault, range)
  if (Number.isInteger(value)) return value
  throw new FlagError(`${flag} must be a whole number, not "${text}"`)
}

function readInstant(flag: string, text: string): number {
  const instant = Date.parse(text)
  if (!Number.isNaN(instant)) return instant
  throw new FlagError(`${flag} must be a date and time such as 2026-01-31T12:00:00Z, not "${text}"`)
}

function readRates(text: string): Partial<Record<FaultKind, number>> {
  const rates: Partial<Record<FaultKind, number>> = {}
  for (const entry of text.split(',').filter((part) => part.trim() !== '')) {
    const [name, share] = entry.trim().split(':', 2)
    const kind = FAULT_KINDS.find((candidate) => candidate === name)
    if (kind === undefined) {
      throw new FlagError(`--faults knows no kind "${name}"; it knows ${FAULT_KINDS.join(', ')}`)
    }
    rates[kind] = readNumber('--faults', share ?? '', 0, { low: 0, high: 1 })
  }
  const sum = Object.values(rates).reduce((total, rate) => total + rate, 0)
  // Floating point: 0.7 + 0.2 + 0.1 is slightly more than 1.
  if (sum > 1 + 1e-9) throw new FlagError(`--faults shares add up to more than 1 (${sum})`)
  return rates
}
