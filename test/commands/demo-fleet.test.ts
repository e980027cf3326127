import { expect, test } from 'vitest'
import { runCli } from '../support/cli.js'

test('demo with several accounts: a fleet of processes, which is complete and leaves none behind', {
  timeout: 120_000,
}, async () => {
  const flags = ['demo', '--accounts', '3', '--workers', '2', '--once']
  const { code, stdout, stderr } = await runCli(flags, { env: { HTTP_PORT: 'off' } })

  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toContain('3 simulated accounts, 2 workers, each a process of its own')
  expect(stdout).toContain('Every account is complete.')
  expect(stdout).toMatch(/Fleet: 3 of 3 processes alive/)
  expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
})
