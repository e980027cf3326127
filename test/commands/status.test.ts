import { expect, test } from 'vitest'
import { showStatus } from '../../src/commands/status.js'
import { createTestDatabase } from '../support/test-database.js'

const NOW = new Date('2026-03-01T12:00:00Z')

async function shown(options: { json: boolean }) {
  await using database = await createTestDatabase()
  await database.sql(
    `INSERT INTO spidra.sync_state (account, last_complete_at) VALUES ('default', '2026-03-01T11:56:00Z')`,
  )
  const written: string[] = []
  const stdout = { write: (text: string) => written.push(text) }
  await showStatus(database.db, { account: 'default', now: NOW, stdout, ...options })
  return written.join('')
}

test('writes freshness first', async () => {
  expect(await shown({ json: false })).toMatch(/^Complete as of 4 minutes ago/)
})

test('writes one line of JSON with --json', async () => {
  const text = await shown({ json: true })

  expect(text.trimEnd().split('\n')).toHaveLength(1)
  expect(JSON.parse(text)).toMatchObject({ account: 'default', lagSeconds: 240, runs: [] })
})
