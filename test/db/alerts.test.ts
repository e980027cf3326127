import { describe, expect, test } from 'vitest'
import {
  type AlertFinding,
  claimAlerts,
  noteAlerts,
  noteReported,
  readFiringAlerts,
  releaseAlert,
} from '../../src/db/alerts.js'
import { openDatabase } from '../../src/db/client.js'
import { shareTestDatabase } from '../support/shared-database.js'

const database = await shareTestDatabase()
const { db, sql } = database

/** Instants of a past hour: what was noted later stands. */
const at = (second: number) => `2026-03-01T12:00:00.0000${String(second).padStart(2, '0')}Z`
const STALE: AlertFinding = { kind: 'stale', state: 'firing', summary: 'Old.', details: { lagMinutes: 61 } }
const FRESH: AlertFinding = { kind: 'stale', state: 'resolved', summary: 'Fresh.', details: {} }
const STUCK: AlertFinding = { kind: 'stuck_jobs', state: 'firing', summary: 'Stuck.', details: { uuids: ['a', 'b'] } }

const note = (findings: readonly AlertFinding[], second: number) => noteAlerts(db, 'default', findings, at(second))
const claim = (worker = 'host:1') => claimAlerts(db, 'default', worker)
const rows = () => sql('SELECT * FROM spidra.alerts ORDER BY account, kind')

/** Claims and tells all that is due; what that was. */
async function tell(worker = 'host:1'): Promise<string[]> {
  const due = await claim(worker)
  for (const alert of due) await noteReported(db, 'default', worker, alert)
  return due.map(({ kind, state }) => `${kind} ${state}`)
}

describe('a state', () => {
  test('is stored from its first firing on, and not before', async () => {
    await note([FRESH], 1)
    expect(await rows()).toEqual([])

    await note([STALE], 2)
    expect(await readFiringAlerts(db, 'default')).toEqual([
      { kind: 'stale', since: new Date('2026-03-01T12:00:00.000Z'), summary: 'Old.' },
    ])
    expect(await readFiringAlerts(db, 'other')).toEqual([])
  })

  test('is written when it changes, and not when it is found unchanged', async () => {
    await note([STALE, STUCK], 1)
    const before = await sql('SELECT xmin, ctid, * FROM spidra.alerts ORDER BY kind')

    await note([{ ...STALE, summary: 'Older.' }, STUCK], 2)

    expect(await sql('SELECT xmin, ctid, * FROM spidra.alerts ORDER BY kind')).toEqual(before)
  })

  test('is not undone by a worker that checked earlier and wrote later', async () => {
    await note([STALE], 1)
    await note([FRESH], 3)

    await note([STALE], 2)

    expect(await rows()).toMatchObject([{ state: 'resolved', summary: 'Fresh.' }])
  })
})

describe('a message', () => {
  test('is due once when an alert fires, and once when it is resolved', async () => {
    await note([STALE, STUCK], 1)
    expect(await tell()).toEqual(['stale firing', 'stuck_jobs firing'])
    expect(await tell()).toEqual([])

    await note([FRESH, STUCK], 2)
    expect(await tell()).toEqual(['stale resolved'])
    expect(await tell()).toEqual([])
  })

  test('has the summary and the details from when the state changed', async () => {
    await note([STUCK], 1)

    expect(await claim()).toEqual([{ ...STUCK, since: new Date('2026-03-01T12:00:00.000Z') }])
  })

  test('is not due for an alert that was resolved before it was reported', async () => {
    await note([STALE], 1)
    await note([FRESH], 2)

    expect(await tell()).toEqual([])
  })

  test('of one account is not claimed for another', async () => {
    await note([STALE], 1)

    expect(await claimAlerts(db, 'other', 'host:1')).toEqual([])
  })

  test('is claimed by one of ten workers at once', async () => {
    await note([STALE, STUCK], 1)
    const workers = Array.from({ length: 10 }, () => openDatabase(database.url))
    try {
      const claims = await Promise.all(
        workers.map((worker, number) => claimAlerts(worker, 'default', `host:${number}`)),
      )

      expect(
        claims
          .flat()
          .map(({ kind }) => kind)
          .sort(),
      ).toEqual(['stale', 'stuck_jobs'])
    } finally {
      await Promise.all(workers.map((worker) => worker.$disconnect()))
    }
  })

  test('that is released is due again', async () => {
    await note([STALE], 1)
    await claim('host:1')
    expect(await claim('host:2')).toEqual([])

    await releaseAlert(db, 'default', 'host:1', 'stale')

    expect(await claim('host:2')).toMatchObject([{ kind: 'stale' }])
  })

  test('of a dead worker is due again after two minutes, and is then no longer claimed by it', async () => {
    await note([STALE], 1)
    const [lost] = await claim('host:1')
    expect(await sql(`SELECT claimed_until - now() > interval '100 s' AS held FROM spidra.alerts`)).toEqual([
      { held: true },
    ])
    await sql(`UPDATE spidra.alerts SET claimed_until = now() - interval '1 s'`)

    expect(await claim('host:2')).toMatchObject([{ kind: 'stale' }])
    await releaseAlert(db, 'default', 'host:1', 'stale')
    if (lost !== undefined) await noteReported(db, 'default', 'host:1', lost)

    expect(await rows()).toMatchObject([{ told_state: 'resolved', claimed_by: 'host:2' }])
  })

  test('about a state that changed meanwhile counts as reported, and the change is due', async () => {
    await note([STALE], 1)
    const [due] = await claim()
    await note([FRESH], 2)
    if (due !== undefined) await noteReported(db, 'default', 'host:1', due)

    expect(await tell()).toEqual(['stale resolved'])
  })
})
