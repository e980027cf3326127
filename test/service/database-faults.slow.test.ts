import { setTimeout } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Simulator } from '../../src/simulator/server.js'
import { hold, untilBlocked } from '../support/blocking.js'
import { AT_ONCE_MS } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { type FaultedService, startFaultedService } from '../support/faulted-service.js'
import { startOwnPostgres } from '../support/own-postgres.js'
import { raiseOn } from '../support/raising-trigger.js'
import { openRelay } from '../support/relay.js'
import type { TestDatabase } from '../support/test-database.js'

/** What goes on on the list while nobody can write it down. */
function moveList({ account }: Simulator): void {
  const [first = '', second = ''] = account.allUuids()
  account.updateJob(first, { status: 'cancelled' })
  account.removeJob(second)
  account.addJob()
  account.addJob()
}

const endConnections = ({ sql }: Pick<TestDatabase, 'sql'>, names: string) =>
  sql(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name ~ $1`,
    [names],
  )

/** The first run that did not end well, as its record has it. */
async function firstFailure({ sql }: Pick<TestDatabase, 'sql'>) {
  const [row] = await sql<{ status: string; code: string; message: string }>(
    `SELECT status, error_code AS code, error_message AS message FROM spidra.sync_runs
     WHERE status IN ('failed', 'aborted') ORDER BY id LIMIT 1`,
  )
  return row
}

/** Ends the service: it lived through it all, told nothing on standard error, and leaves no record open. */
async function expectSound(service: FaultedService, { sql }: Pick<TestDatabase, 'sql'>): Promise<void> {
  service.process.kill('SIGTERM')
  expect(await service.process.ended).toMatchObject({ code: 0, stderr: '' })
  expect(new Set(service.answers.map(({ healthz }) => healthz))).toEqual(new Set([200]))
  expect(await sql(`SELECT id FROM spidra.sync_runs WHERE status = 'running'`)).toEqual([])
}

/** Every failed check, as the probes heard it. */
const failures = ({ answers }: FaultedService) =>
  new Set(answers.flatMap(({ failing }) => Object.entries(failing).map(([name, detail]) => `${name} ${detail}`)))

test('all connections ended in mid-run: one line says so, and the next run is complete', {
  timeout: 120_000,
}, async () => {
  await using database = await createCliDatabase()
  await using service = await startFaultedService(database, async (api) => {
    moveList(api)
    await endConnections(database, '^spidra-sync')
  })
  await service.process.says(/"msg":"run (failed|finished)"/)

  await service.recovered()

  // A run that waits for an answer of the API meanwhile goes on with new connections.
  expect((await firstFailure(database))?.message ?? 'Cannot reach none').toMatch(/^Cannot reach [^\n]+$/)
  await expectSound(service, database)
})

test('a connection that became silent costs one run: it fails after its deadline, and the next one is complete', {
  timeout: 180_000,
}, async () => {
  await using database = await createCliDatabase()
  await using relay = await openRelay(database.url)
  await using service = await startFaultedService({ ...database, url: relay.url }, async (api) => {
    moveList(api)
    relay.forget()
  })
  const forgottenAt = performance.now()
  await service.process.says(/"msg":"run failed"/)

  expect(performance.now() - forgottenAt).toBeLessThan(50_000)
  await service.recovered()
  expect(await firstFailure(database)).toMatchObject({
    code: 'no_answer',
    message: expect.stringMatching(/^Postgres at \S+ did not answer a statement in time \(no answer [^\n]+$/),
  })
  await expectSound(service, database)
})

test('a stop while a connection is silent ends the process within its grace, and closes the record', {
  timeout: 120_000,
}, async () => {
  await using database = await createCliDatabase()
  await using relay = await openRelay(database.url)
  let reach = () => {}
  const reached = new Promise<void>((resolve) => {
    reach = resolve
  })
  await using service = await startFaultedService({ ...database, url: relay.url }, async () => {
    relay.forget()
    reach()
  })
  await reached
  await setTimeout(500)
  service.process.kill('SIGTERM')

  expect(await service.process.ended).toMatchObject({ code: 0 })
  expect(await firstFailure(database)).toMatchObject({ status: 'aborted', code: 'stopped' })
  expect(await database.sql(`SELECT id FROM spidra.sync_runs WHERE status = 'running'`)).toEqual([])
})

test('a table that stays locked fails the run after its deadline, and leaves no statement waiting', {
  timeout: 180_000,
}, async () => {
  await using database = await createCliDatabase()
  let locked: Awaited<ReturnType<typeof hold>> | null = null
  await using service = await startFaultedService(database, async () => {
    locked = await hold(database, 'LOCK TABLE spidra.batch_jobs IN ACCESS EXCLUSIVE MODE')
  })
  await service.process.says(/"msg":"run failed"/)
  const lock = locked ?? expect.fail('no lock')
  await (lock as Awaited<ReturnType<typeof hold>>).release()

  await service.recovered()
  expect(await firstFailure(database)).toMatchObject({ code: 'no_answer' })
  await expectSound(service, database)
})

test('the connections of the pool ended in mid-run: the list is stored whole all the same', {
  timeout: 120_000,
}, async () => {
  await using database = await createCliDatabase()
  await using service = await startFaultedService(database, async (api) => {
    moveList(api)
    await endConnections(database, '^spidra-sync$')
  })
  await service.process.says(/"msg":"run (failed|finished)"/)

  await service.recovered()

  await expectSound(service, database)
})

test.each([
  ['stopped and started again', 'stop'],
  ['crashed', 'crash'],
] as const)(
  'the server %s in mid-run: /readyz says so while it is away, and the next run is complete',
  { timeout: 180_000 },
  async (_, how) => {
    await using server = await startOwnPostgres()
    await using service = await startFaultedService(server, async (api) => {
      moveList(api)
      await server[how]()
    })
    await service.process.says(/"msg":"run (failed|aborted)"/)
    if (how === 'stop') {
      await service.untilReadyz(503)
      await server.start()
    }

    await expect.poll(() => server.sql('SELECT 1 AS up').catch(() => null), { timeout: 60_000 }).toEqual([{ up: 1 }])
    await service.recovered()

    if (how === 'stop') expect(failures(service)).toContain('database does not answer')
    // A server that is away cannot take the record; it is closed by the run itself, or by the next.
    expect(await firstFailure(server)).toMatchObject({ message: expect.stringMatching(/^[^\n]+$/) })
    await expectSound(service, server)
  },
)

test('read-only in mid-run: /readyz says so, and writing goes on once it is over', { timeout: 180_000 }, async () => {
  await using database = await createCliDatabase()
  await using service = await startFaultedService(database, async (api) => {
    moveList(api)
    await database.sql(`ALTER DATABASE ${database.name} SET default_transaction_read_only = on`)
    await endConnections(database, '^spidra-sync')
  })
  await service.process.says(/"msg":"run failed".*|.*is read-only .*point DATABASE_URL at the primary server/)
  await service.process.says(/is read-only [^\n]*point DATABASE_URL at the primary server/)
  await service.untilReadyz(503)

  await database.sql(`ALTER DATABASE ${database.name} RESET default_transaction_read_only`)

  await service.untilReadyz(200)
  await service.recovered()
  expect(failures(service)).toContain('database is read-only')
  await expectSound(service, database)
})

test('a disk that is full in mid-run: the record says so, and the run after it has room is complete', {
  timeout: 120_000,
}, async () => {
  await using database = await createCliDatabase()
  await using service = await startFaultedService(database, async (api) => {
    moveList(api)
    await raiseOn(database, 'spidra.batch_jobs', '53100')
  })
  await service.process.says(/"msg":"run failed"/)

  await database.sql('DROP TRIGGER in_the_way ON spidra.batch_jobs')

  await service.recovered()
  expect(await firstFailure(database)).toEqual({
    status: 'failed',
    code: 'disk_full',
    message: expect.stringMatching(
      /^Postgres at \S+ has no disk space left \([^\n]+SQLSTATE 53100\): make room for it\.$/,
    ),
  })
  await expectSound(service, database)
})

test('old history that cannot be deleted fails no run, and is tried again', { timeout: 120_000 }, async () => {
  await using database = await createCliDatabase()
  await using service = await startFaultedService(database, () =>
    raiseOn(database, 'spidra.batch_job_events', '53100', { times: 1, events: 'DELETE' }),
  )

  await service.process.says(/"msg":"old history could not be deleted"/)
  await service.process.says(/"msg":"old history deleted"/)

  await service.recovered()
  expect(service.process.stdout).not.toContain('"msg":"run failed"')
  await expectSound(service, database)
})

test('a probe that is under way at the stop does not keep the process alive', { timeout: 60_000 }, async () => {
  await using database = await createCliDatabase()
  await using service = await startFaultedService(database, async () => undefined)
  await service.process.says(/"msg":"run finished"/)
  await using ledger = await hold(database, 'LOCK TABLE spidra._prisma_migrations IN ACCESS EXCLUSIVE MODE')
  await untilBlocked(database)

  service.process.kill('SIGTERM')
  await service.process.says(/"msg":"service stopping"/)
  await ledger.release()
  const releasedAt = performance.now()

  expect(await service.process.ended).toMatchObject({ code: 0, stderr: '' })
  expect(performance.now() - releasedAt).toBeLessThan(AT_ONCE_MS)
})
