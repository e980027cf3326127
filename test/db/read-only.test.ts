import { expect, test } from 'vitest'
import { openReadOnly } from '../../src/db/read-only.js'
import { createTestDatabase } from '../support/test-database.js'

test('a read-only connection cannot write', async () => {
  await using database = await createTestDatabase()
  const connection = await openReadOnly(database.url, new AbortController().signal)
  try {
    await expect(connection.query('DELETE FROM spidra.sync_state')).rejects.toMatchObject({ code: '25006' })
    await expect(connection.query('SELECT 1 AS one')).resolves.toMatchObject({ rows: [{ one: 1 }] })
  } finally {
    await connection.close()
  }
})

test('an abort ends an attempt to connect', async () => {
  const stop = new AbortController()
  const opening = openReadOnly('postgres://nobody@192.0.2.1:5432/none', stop.signal)
  stop.abort()

  await expect(opening).rejects.toThrow()
})
