import { once } from 'node:events'
import { createServer } from 'node:net'
import { Client } from 'pg'
import { expect, test } from 'vitest'
import { createFolder, embeddedPostgresIn, runCli, startCli } from '../../support/cli.js'

const tooWide = (text: string) => text.split('\n').filter((line) => line.length > 80)

test('demo with several accounts: a fleet of processes, which is complete and leaves none behind', {
  timeout: 120_000,
}, async () => {
  const flags = ['demo', '--accounts', '3', '--workers', '2', '--once']
  const { code, stdout, stderr } = await runCli(flags, { env: { HTTP_PORT: 'off' } })

  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toContain('3 simulated accounts, 2 workers, each a process of its own')
  expect(stdout).toContain('Every account is complete.')
  expect(stdout).toMatch(/Fleet: 3 of 3 processes alive/)
  expect(stdout).not.toContain('is gone')
  expect(tooWide(stdout)).toEqual([])
})

test('tells of a worker that was killed, and how to ask the database', { timeout: 60_000 }, async () => {
  await using folder = await createFolder()
  const options = { cwd: folder.path, env: { HTTP_PORT: '0' } }
  await using demo = await startCli(['demo', '--accounts', '1', '--workers', '2'], options)
  const [, url = ''] = await demo.says(/psql '(postgres[^']+)'/)
  const [, sample = ''] = await demo.says(/\n {2}(SELECT [^;]+;)/)
  const client = new Client({ connectionString: url })
  await client.connect()
  expect(await client.query(sample)).toMatchObject({ rows: expect.any(Array) })
  const pids = () => client.query(`SELECT worker FROM spidra_reporting.sync_run_history LIMIT 1`)
  await expect.poll(async () => (await pids()).rowCount, { timeout: 20_000 }).toBe(1)
  const [{ worker }] = (await pids()).rows
  await client.end()

  process.kill(Number(worker.split(':').at(-1)), 'SIGKILL')

  await demo.says(/^\d\d:\d\d:\d\d worker [12] \(process \d+\) is gone; the other one continues$/m)
  demo.kill('SIGINT')
  const { code, stdout, stderr } = await demo.ended
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toMatch(/^1 simulated account, 2 workers, each a process of its own/)
  expect(stdout.match(/ is gone/g)).toHaveLength(1)
  expect(tooWide(stdout)).toEqual([])
})

test.each([[['demo']], [['demo', '--accounts', '2', '--workers', '1']]])(
  '%j refuses a port that is taken where it was asked for, and leaves nothing behind',
  async (args) => {
    await using folder = await createFolder()
    const stranger = createServer().listen(0, '127.0.0.1')
    await once(stranger, 'listening')
    const address = stranger.address()
    const port = typeof address === 'object' ? String(address?.port) : ''

    const { code, stderr } = await runCli(args, { cwd: folder.path, env: { HTTP_PORT: port } })
    stranger.close()

    expect(code).toBe(2)
    expect(stderr).toMatch(/\nHTTP_PORT \d+ on 127\.0\.0\.1 is in use by another program; choose another, or off\n$/)
    expect(await embeddedPostgresIn(folder.path)).toEqual([])
  },
)

test('goes to another port where the usual one is taken and none was asked for', async () => {
  await using folder = await createFolder()
  // Whoever has it already does as well.
  const stranger = createServer()
    .on('error', () => {})
    .listen(8080, '127.0.0.1')
  await using demo = await startCli(['demo', '--accounts', '1', '--workers', '1'], { cwd: folder.path })

  const [, port] = await demo.says(/\n {2}http:\/\/127\.0\.0\.1:(\d+)\/\n/)
  stranger.close()

  expect(port).not.toBe('8080')
  demo.kill('SIGINT')
  expect(await demo.ended).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringMatching(/^1 simulated account, 1 worker, a process of its own, and one Postgres\.$/m),
  })
})
