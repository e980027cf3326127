import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Account } from '../../src/simulator/account.js'
import { createDice, type Dice } from '../soak/dice.js'
import { type CliProcess, runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { syncInProcess } from '../support/cli-sync.js'
import { createEventHistory } from '../support/event-history.js'
import { compareWithList } from '../support/job-rows.js'
import { crookedRuns, serviceEnv, simulateFor, untilNoLocks } from '../support/service.js'
import type { TestDatabase } from '../support/test-database.js'

/** `npm run check` kills 10 times, `npm run torture` 100. KILL_SEED repeats what was tried, not how fast the machine was. */
const KILLS = Number(process.env.KILLS ?? 10)
const SEED = Number(process.env.KILL_SEED ?? Date.now() % 1_000_000)

/** 20 pages; a full pass merges them in three chunks. */
const JOBS = 1_000

/** Requests of a full run: the pages, and the head again. */
const REQUESTS = 21

const PHASES = ['start-up', 'run', 'run', 'service', 'shutdown', 'migration'] as const
type Phase = (typeof PHASES)[number]

/** How long a process takes here, in milliseconds. */
interface Pace {
  /** For all migrations. */
  readonly migration: number
  /** To its first request, on a migrated database. */
  readonly startUp: number
}

/** One random way to die. */
function drawDeath(dice: Dice, phase: Phase, pace: Pace) {
  const share = dice.share()
  const isService = phase === 'service' || (phase !== 'run' && dice.below(2) === 0)
  const isEarly = phase === 'start-up' || phase === 'migration'
  return {
    command: isService ? ['start'] : ['sync', '--full'],
    /** Of the process; 0: as soon as it is there. A service goes on with other runs. */
    afterRequests: isEarly ? 0 : 1 + dice.below(isService ? 2 * REQUESTS : REQUESTS),
    delayMs: share * (phase === 'migration' ? pace.migration : phase === 'start-up' ? pace.startUp : 60),
    /** Told to stop first, so that death comes while it winds up. */
    isStopped: phase === 'shutdown',
  }
}

/** Lets some jobs progress, some end, some come, one go and one come back; many a job is hit twice. */
function changeSome(account: Account, dice: Dice, gone: string[]): void {
  const uuids = [...account.allUuids()]
  for (let count = 10 + dice.below(40); count > 0; count -= 1) {
    const uuid = uuids[dice.below(uuids.length)] ?? ''
    const { totalUrls, completedCount } = account.job(uuid) ?? { totalUrls: 0, completedCount: 0 }
    const status = ['completed', 'failed', 'running', 'pending'][dice.below(4)] ?? ''
    account.updateJob(uuid, { status, completedCount: (completedCount + 1) % (totalUrls + 1) })
  }
  const back = gone.shift()
  if (back !== undefined && dice.below(2) === 0) account.restoreJob(back)
  const leaving = uuids[dice.below(uuids.length)]
  if (leaving !== undefined) {
    account.removeJob(leaving)
    gone.push(leaving)
  }
  for (let count = dice.below(3); count > 0; count -= 1) account.addJob()
}

/** Everything that must hold once the next run has ended. */
async function faultsOf(database: TestDatabase, account: Account): Promise<readonly unknown[]> {
  await untilNoLocks(database)
  const [ledger] = await database.sql(
    `SELECT count(*) FILTER (WHERE finished_at IS NULL OR rolled_back_at IS NOT NULL)::integer AS unfinished,
       count(*) - count(DISTINCT migration_name) AS doubled FROM spidra._prisma_migrations`,
  )
  const [days] = await database.sql(
    'SELECT coalesce(sum(jobs), 0)::integer AS jobs FROM spidra_reporting.daily_batch_jobs',
  )
  return [
    ...(await compareWithList(database, account)),
    ...(await crookedRuns(database)),
    ...(ledger?.unfinished === 0 && Number(ledger.doubled) === 0 ? [] : [ledger]),
    ...(days?.jobs === account.total ? [] : [`the daily view counts ${days?.jobs} of ${account.total} jobs`]),
  ]
}

/** Whether a process is connected to migrate the database. */
async function migrates({ sql }: TestDatabase): Promise<boolean> {
  const rows = await sql(
    "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'spidra-sync migrate'",
  )
  return rows.length > 0
}

test(`kill -9 ${KILLS} times (KILL_SEED=${SEED}): the next run is complete, and nothing is lost, doubled or stuck`, {
  timeout: 60_000 + KILLS * 30_000,
}, async () => {
  const dice = createDice(SEED)
  const events = new EventEmitter()
  let requests = 0
  let listTime = Date.now()
  await using api = await simulateFor({
    jobs: JOBS,
    latencyMs: 5,
    // It stands still from the change to the check; between rounds some minutes pass, and open jobs go on.
    now: () => listTime,
    beforeAnswer: () => {
      requests += 1
      events.emit('request')
    },
  })
  const { account } = api
  await using database = await createCliDatabase()
  const history = createEventHistory(account)
  const gone: string[] = []
  const envOf = (of: TestDatabase) => ({ ...serviceEnv(api, of), SHUTDOWN_GRACE_MS: '20000' })
  const busy = { SYNC_SCHEDULE: '* * * * * *', FULL_SYNC_SCHEDULE: '*/2 * * * * *' }

  async function expectComplete(of: TestDatabase, { code, stdout }: { code: number | null; stdout: string }) {
    expect(code, stdout).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      status: 'complete',
      listedTotal: account.total,
      storedTotal: account.total,
    })
    expect(await faultsOf(of, account)).toEqual([])
  }

  const completeRun = async (of: TestDatabase) => expectComplete(of, await syncInProcess(envOf(of), { full: true }))

  async function measureRun(of: TestDatabase): Promise<Pace> {
    const startedAt = performance.now()
    const asked = once(events, 'request')
    const run = runCli(['sync', '--full', '--json'], { env: envOf(of), nodeFlags: [] })
    await Promise.race([asked, run])
    const startUp = performance.now() - startedAt
    const ended = await run
    await expectComplete(of, ended)
    const durations = [...ended.stderr.matchAll(/"durationMs":(\d+),"msg":"migration applied"/g)]
    return { startUp, migration: durations.reduce((sum, [, ms]) => sum + Number(ms), 0) }
  }

  /** Whether death came in time: a process may have ended before. */
  async function kill(of: TestDatabase, phase: Phase, pace: Pace): Promise<boolean> {
    const { command, afterRequests, delayMs, isStopped } = drawDeath(dice, phase, pace)
    const requestsBefore = requests
    const until = requestsBefore + afterRequests
    await using victim: CliProcess = await startCli(command, { env: { ...envOf(of), ...busy } })
    const ended = victim.ended.then(() => true)
    while (requests < until && !(await Promise.race([ended, once(events, 'request').then(() => false)])));
    // A request shows that the migration is over already: on a busy machine it may pass between two checks.
    const isMigrated = () => requests > requestsBefore
    while (phase === 'migration' && !isMigrated() && !(await Promise.race([ended, migrates(of)])));
    if (isStopped) victim.kill('SIGTERM')
    // The instant is what is tried here.
    await Promise.race([ended, sleep(delayMs)])
    victim.kill('SIGKILL')
    return (await victim.ended).signal === 'SIGKILL'
  }

  /** On a database of its own, which then must come to be like any other. */
  async function killAfresh(pace: Pace): Promise<boolean> {
    await using fresh = await createCliDatabase()
    const isKilled = await kill(fresh, 'migration', pace)
    await completeRun(fresh)
    return isKilled
  }

  const { migration } = await measureRun(database)
  const pace: Pace = { ...(await measureRun(database)), migration }
  expect(await history.check(database)).toEqual([])
  const deaths = new Map<Phase, number>()
  for (let round = 0, killed = 0; killed < KILLS; round += 1) {
    expect(round, 'rounds in which the process had ended before').toBeLessThan(KILLS * 2 + 10)
    const phase = PHASES[round % PHASES.length] ?? 'run'
    listTime += 180_000
    changeSome(account, dice, gone)
    const isKilled = phase === 'migration' ? await killAfresh(pace) : await kill(database, phase, pace)
    if (isKilled) {
      killed += 1
      deaths.set(phase, (deaths.get(phase) ?? 0) + 1)
    }
    await completeRun(database)
    expect(await history.check(database), `events of round ${round}, killed in ${phase}`).toEqual([])
  }
  const summary = await database.sql(
    `SELECT (SELECT count(*) FROM spidra.batch_job_events)::integer AS events,
       (SELECT count(*) FROM spidra.sync_runs WHERE error_code = 'worker_lost')::integer AS lost`,
  )
  process.stdout.write(`KILL_SEED=${SEED}: ${JSON.stringify({ ...Object.fromEntries(deaths), ...summary[0] })}\n`)
  expect(summary[0]?.events).toBeGreaterThan(0)
})
