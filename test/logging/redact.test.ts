import { expect, test } from 'vitest'
import { createSecrets } from '../../src/logging/redact.js'

test('secrets that become known later are hidden too, and none is forgotten', () => {
  const secrets = createSecrets(['spd_first'])
  const before = secrets.redact('spd_first spd_later')

  secrets.add(['spd_later', 'spd_first'])

  expect(before).toBe('[redacted] spd_later')
  expect(secrets.redact('spd_first spd_later')).toBe('[redacted] [redacted]')
  expect(secrets.all).toEqual(['spd_first', 'spd_later'])
})

test('what is known already makes no new list', () => {
  const secrets = createSecrets(['spd_first'])
  const { all } = secrets

  secrets.add(['spd_first'])

  expect(secrets.all).toBe(all)
})
