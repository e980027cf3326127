import { pino } from 'pino'
import { expect, test } from 'vitest'
import type { Account } from '../../src/config/accounts.js'
import { reloadOnHangup } from '../../src/service/live-accounts.js'

const account = (name: string, apiKey = 'spd_canary', pagesPerRun = 20): Account => ({
  ...{
    name,
    apiKey,
    keyOrigin: 'SPIDRA_API_KEY',
    pagesPerRun,
    results: null,
    apiUrl: 'https://api.example',
    schedule: null,
  },
})

test('a reload logs which accounts were added and removed and how many changed, and no key', () => {
  const lines: string[] = []
  let hangUp = () => {}
  reloadOnHangup({
    accounts: [account('stays'), account('turns'), account('moves'), account('goes')],
    log: pino({ base: null }, { write: (line) => void lines.push(line) }),
    onHangup(listener) {
      hangUp = listener
      return () => {}
    },
    reloadAccounts: () => [
      ...[account('comes'), account('stays'), account('turns', 'spd_canary_2'), account('moves', undefined, 5)],
    ],
  })

  hangUp()
  hangUp()

  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { msg: 'accounts read again', accounts: 4, added: ['comes'], removed: ['goes'], changed: 2 },
    { msg: 'accounts read again', accounts: 4, added: [], removed: [], changed: 0 },
  ])
  expect(lines.join()).not.toContain('canary')
})
