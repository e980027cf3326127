import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { API_KEY, runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { summaryOf, syncInProcess } from '../support/cli-sync.js'

test('a mass removal waits for sync --full --accept-removals, whatever else runs', { timeout: 90_000 }, async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 500, key: API_KEY, rateLimit: 'off' })
  const env = {
    SPIDRA_API_KEY: API_KEY,
    SPIDRA_API_URL: api.url,
    DATABASE_URL: database.url,
    RATE_LIMIT_REQUESTS: 'off',
  }
  const run = (...args: readonly string[]) => runCli(['sync', ...args], { env })
  expect((await syncInProcess(env)).code).toBe(0)
  for (const uuid of [...api.account.allUuids()].slice(100, 400)) api.account.removeJob(uuid)

  const refused = await run('--accept-removals')
  expect(refused).toMatchObject({ code: 2, stdout: '' })
  expect(refused.stderr).toContain('--full')

  for (const args of [['--full'], ['--full'], []]) {
    const { code, stdout, stderr } = await run(...args)
    expect(code, stderr).toBe(3)
    expect(stdout).toContain('most stored jobs are no longer listed')
    expect(stdout).toContain('sync --full --accept-removals')
  }

  {
    const schedules = { SYNC_SCHEDULE: '* * * * * *', FULL_SYNC_SCHEDULE: '*/2 * * * * *' }
    await using service = await startCli(['start'], { env: { ...env, ...schedules, HTTP_PORT: 'off' } })
    await service.says(/(?:"reason":"mass_removal"[\s\S]*){4}/)
    expect(service.stdout + service.stderr).not.toMatch(/"removed":[1-9]/)
    service.kill('SIGTERM')
    expect((await service.ended).code).toBe(0)
  }
  const still = await run('--full', '--json')
  expect(summaryOf(still)).toMatchObject({ status: 'partial', reason: 'mass_removal', removed: 0 })

  const accepted = await run('--full', '--accept-removals', '--json')

  expect(accepted.code, accepted.stderr).toBe(0)
  expect(summaryOf(accepted)).toMatchObject({ status: 'complete', removed: 300, storedTotal: 200 })
  expect(summaryOf(await run('--json'))).toMatchObject({ status: 'complete', removed: 0 })
})
