import { expect, test } from 'vitest'
import { createSecrets } from '../../src/logging/redact.js'

test('hides secrets that are added later, and forgets none', () => {
  const secrets = createSecrets(['spd_first'])
  const before = secrets.redact('spd_first spd_later')

  secrets.add(['spd_later', 'spd_first'])

  expect(before).toBe('[redacted] spd_later')
  expect(secrets.redact('spd_first spd_later')).toBe('[redacted] [redacted]')
  expect(secrets.all).toEqual(['spd_first', 'spd_later'])
})

test('keeps the same list when a secret is already known', () => {
  const secrets = createSecrets(['spd_first'])
  const { all } = secrets

  secrets.add(['spd_first'])

  expect(secrets.all).toBe(all)
})
