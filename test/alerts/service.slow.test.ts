import { createServer } from 'node:http'
import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/server.js'
import { API_KEY, AT_ONCE_MS, type CliProcess, runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { emptyList, fakeSpidra, reply } from '../support/fake-spidra.js'
import type { TestDatabase } from '../support/test-database.js'
import { openWebhookReceiver, WEBHOOK_TOKEN, type WebhookReceiver } from '../support/webhook-receiver.js'

/** The environment of a service that runs every second, and retries nothing. */
const envOf = (
  api: { readonly url: string },
  database: { readonly url: string },
  receiver: Pick<WebhookReceiver, 'url'>,
) => ({
  ...{ SPIDRA_API_KEY: API_KEY, SPIDRA_API_URL: api.url, DATABASE_URL: database.url, HTTP_PORT: 'off' },
  ...{ SYNC_SCHEDULE: '* * * * * *', FULL_SYNC_SCHEDULE: 'off', RATE_LIMIT_REQUESTS: 'off', REQUEST_RETRIES: '0' },
  ALERT_WEBHOOK_URL: receiver.url,
})

const countRuns = async ({ sql }: TestDatabase, status: string) => {
  const rows = await sql<{ runs: number }>('SELECT count(*)::integer AS runs FROM spidra.sync_runs WHERE status = $1', [
    status,
  ])
  return rows[0]?.runs ?? 0
}

/** Sends SIGTERM, and returns how the process ended and after how many milliseconds. */
async function terminate(service: CliProcess) {
  const signalledAt = performance.now()
  service.kill('SIGTERM')
  const { code, stdout, stderr } = await service.ended
  expect(stdout + stderr).not.toContain(WEBHOOK_TOKEN)
  return { code, stderr, tookMs: performance.now() - signalledAt }
}

test('failing runs are reported once, not again after a restart, and their end is reported', async () => {
  await using database = await createCliDatabase()
  await using receiver = await openWebhookReceiver()
  let answer = reply(500, { message: 'Out <of> order' })
  await using api = await fakeSpidra([(response) => answer(response)])
  const env = envOf(api, database, receiver)

  await using first = await startCli(['start'], { env })
  await receiver.receives(1)
  const failures = await countRuns(database, 'failed')
  expect(await terminate(first)).toMatchObject({ code: 0, stderr: '' })
  await using second = await startCli(['start'], { env })
  await expect.poll(() => countRuns(database, 'failed'), { timeout: 20_000 }).toBeGreaterThan(failures + 2)
  const status = await runCli(['status'], { env })
  answer = emptyList()
  await receiver.receives(2)
  expect(await terminate(second)).toMatchObject({ code: 0, stderr: '' })

  expect(receiver.told()).toEqual(['runs_failing firing', 'runs_failing resolved'])
  expect(receiver.posted[0]?.message).toMatchObject({
    account: 'default',
    text: expect.stringContaining('Spidra answered 500 (Out &lt;of&gt; order)'),
    details: { failedRuns: 3, errorCode: 'server_error' },
  })
  expect(JSON.stringify(receiver.posted)).not.toContain(API_KEY)
  expect(status.stdout).toMatch(/^Alert runs_failing since .* UTC: 3 runs in a row failed/m)
})

test('a refused key is reported at once, and by only one of two services of the account', async () => {
  await using database = await createCliDatabase()
  await using receiver = await openWebhookReceiver()
  await using api = await startSimulator({ jobs: 10, key: 'spd_another', rateLimit: 'off' })
  const env = envOf(api, database, receiver)

  await using first = await startCli(['start'], { env })
  await using second = await startCli(['start'], { env })
  await expect.poll(() => countRuns(database, 'failed'), { timeout: 20_000 }).toBeGreaterThan(4)
  await receiver.receives(1)
  expect(await Promise.all([first, second].map(terminate))).toMatchObject([{ code: 0 }, { code: 0 }])

  expect(receiver.told()).toEqual(['key_refused firing'])
  expect(receiver.posted[0]?.message.summary).toContain('Check SPIDRA_API_KEY')
})

test('a webhook that does not answer delays neither a run nor the stop', async () => {
  await using database = await createCliDatabase()
  await using receiver = await openWebhookReceiver()
  receiver.answer = () => {}
  let answer = reply(401, {})
  await using api = await fakeSpidra([(response) => answer(response)])
  await using service = await startCli(['start'], { env: envOf(api, database, receiver) })
  await receiver.receives(1)
  answer = emptyList()

  await expect.poll(() => countRuns(database, 'complete'), { timeout: 20_000 }).toBeGreaterThan(1)
  const { code, tookMs } = await terminate(service)

  expect(code).toBe(0)
  expect(tookMs).toBeLessThan(AT_ONCE_MS)
})

test('an unreachable webhook causes an error in the log, and nothing else', async () => {
  await using database = await createCliDatabase()
  await using api = await startSimulator({ jobs: 10, key: 'spd_another', rateLimit: 'off' })
  // A port that was free a moment ago.
  const closed = createServer()
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
  const address = closed.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  await new Promise((resolve) => closed.close(resolve))
  const url = `http://127.0.0.1:${address.port}/services/${WEBHOOK_TOKEN}`
  await using service = await startCli(['start'], { env: envOf(api, database, { url }) })

  await service.says(/"level":"error".*cannot be reached \(ECONNREFUSED\).*"msg":"alert could not be sent"/)

  expect(await terminate(service)).toMatchObject({ code: 0, stderr: '' })
})

test('the log warns of a schedule interval longer than ALERT_STALE_MINUTES', async () => {
  await using database = await createCliDatabase()
  await using receiver = await openWebhookReceiver()
  await using api = await startSimulator({ jobs: 10, key: API_KEY, rateLimit: 'off' })
  const env = { ...envOf(api, database, receiver), SYNC_SCHEDULE: '0 */2 * * *' }
  await using service = await startCli(['start'], { env })

  await service.says(/"level":"warn".*ALERT_STALE_MINUTES is shorter than the time between two runs/)
})
