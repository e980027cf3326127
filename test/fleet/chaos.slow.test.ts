import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { createDice } from '../soak/dice.js'
import type { CliProcess } from '../support/cli.js'
import { createFleet, differences, overlaps, type TestFleet } from '../support/fleet.js'
import { LOOPBACK_NOTE, ownLoopback } from '../support/own-loopback.js'
import { type OwnPostgres, startOwnPostgres } from '../support/own-postgres.js'
import { openRelay, type Relay } from '../support/relay.js'

/** `npm run torture` makes it ten minutes, in which workers are stopped and cut off for longer than a minute. */
const SECONDS = Number(process.env.FLEET_CHAOS_SECONDS ?? 25)
const AWAY_SECONDS = SECONDS >= 300 ? [65, 90] : [2, 5]
const SEED = Number(process.env.FLEET_CHAOS_SEED ?? Date.now() % 100_000)

const ACCOUNTS = 8
const WORKERS = 3
const SCHEDULE_SECONDS = 15

/** Each is drawn as often as it is listed. */
const FAULTS = ['kill', 'kill', 'kill', 'stop', 'stop', 'cutOff', 'cutOff', 'scheduler', 'restart'] as const

interface Seat {
  readonly address: number
  readonly relay: Relay
  process: CliProcess
  isAway: boolean
}

/** A process that is up. One that starts while the database is away ends with 1, for its supervisor to start it again. */
async function joined(starting: Promise<CliProcess>): Promise<CliProcess> {
  const started = await starting
  await started.says(/"msg":"fleet joined"/)
  return started
}

/** Places for workers, each on a connection of its own, and the faults that can happen to them. */
async function seatWorkers(fleet: TestFleet, server: OwnPostgres, seconds: () => number) {
  const seats: Seat[] = []
  for (let address = 2; address < WORKERS + 2; address += 1) {
    const relay = await openRelay(server.url)
    seats.push({ address, relay, process: await joined(fleet.startWorker(address, relay.url)), isAway: false })
  }
  const comingBack: Promise<void>[] = []

  function sendAway(seat: Seat, leave: () => void, come: () => void): void {
    seat.isAway = true
    leave()
    comingBack.push(
      sleep(seconds() * 1000).then(() => {
        come()
        seat.isAway = false
      }),
    )
  }

  return {
    seats,
    async kill(seat: Seat) {
      seat.process.kill('SIGKILL')
      await seat.process.ended
      seat.process = await joined(fleet.startWorker(seat.address, seat.relay.url))
    },
    stop(seat: Seat) {
      const { process } = seat
      sendAway(
        seat,
        () => process.kill('SIGSTOP'),
        () => process.kill('SIGCONT'),
      )
    },
    cutOff(seat: Seat) {
      sendAway(seat, seat.relay.freeze, seat.relay.thaw)
    },
    allBack: () => Promise.all(comingBack),
  }
}

test.runIf(ownLoopback)(
  `a fleet in chaos (seed ${SEED}): one run an account at a time, nothing lost, and all complete soon after${LOOPBACK_NOTE}`,
  { timeout: (SECONDS + 240) * 1000 },
  async () => {
    const { share, below } = createDice(SEED)
    const within = ([low = 0, high = 0]: readonly number[]) => low + share() * (high - low)
    await using server = await startOwnPostgres()
    await using api = await startSimulator({
      jobs: 600,
      accounts: ACCOUNTS,
      rateLimit: 'off',
      latencyMs: 40,
      arrivalsPerMinute: 0,
    })
    const env = {
      SYNC_SCHEDULE: `*/${SCHEDULE_SECONDS} * * * * *`,
      FULL_SYNC_SCHEDULE: '*/30 * * * * *',
      RATE_LIMIT_REQUESTS: 'off',
    }
    await using fleet = await createFleet(api, server, env)
    let schedulers = await Promise.all([joined(fleet.startScheduler()), joined(fleet.startScheduler())])
    const workers = await seatWorkers(fleet, server, () => within(AWAY_SECONDS))
    const happened: Record<string, number> = {}
    const faults: Record<(typeof FAULTS)[number], (seat: Seat) => unknown> = {
      kill: workers.kill,
      stop: workers.stop,
      cutOff: workers.cutOff,
      async scheduler() {
        const [one, ...others] = schedulers
        one?.kill('SIGKILL')
        schedulers = [...others, await joined(fleet.startScheduler())]
      },
      async restart() {
        await server.stop()
        await server.start()
      },
    }

    const until = performance.now() + SECONDS * 1000
    while (performance.now() < until) {
      for (const { account } of api.accounts) {
        if (share() < 0.5) account.addJob({ status: 'completed' })
        if (share() < 0.2) account.removeJob([...account.allUuids()][below(account.total)] ?? '')
      }
      const seat = workers.seats.filter(({ isAway }) => !isAway)[below(WORKERS)]
      const name = FAULTS[below(FAULTS.length)] ?? 'kill'
      happened[name] = (happened[name] ?? 0) + 1
      if (seat !== undefined) await faults[name](seat)
      await sleep(within([500, 3_000]))
    }
    await workers.allBack()
    const [last] = await server.sql<{ at: Date }>('SELECT clock_timestamp() AS at')

    // A killed worker is replaced after a moment; two intervals of the schedule later every account is complete.
    const late = () =>
      server.sql('SELECT account FROM spidra.sync_state WHERE last_complete_at IS NULL OR last_complete_at < $1', [
        last?.at,
      ])
    const patience = { timeout: 2 * SCHEDULE_SECONDS * 1000, interval: 200 }
    await expect.poll(late, { ...patience, message: JSON.stringify(happened) }).toEqual([])
    expect(await differences(server, api)).toEqual([])
    expect(await overlaps(server)).toEqual([])
    // No run may write after its record was closed.
    const afterTheEnd = `SELECT e.id, e.run_id FROM spidra.batch_job_events e JOIN spidra.sync_runs r ON r.id = e.run_id
      WHERE e.observed_at > r.finished_at`
    expect(await server.sql(afterTheEnd)).toEqual([])
    for (const one of [...schedulers, ...workers.seats.map(({ process }) => process)]) {
      one.kill('SIGTERM')
      const { code, stderr } = await one.ended
      expect(code, stderr).toBe(0)
    }
    for (const { relay } of workers.seats) await relay.cut()
  },
)
