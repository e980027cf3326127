import { execFile } from 'node:child_process'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { expect, test } from 'vitest'
import { toReadOnlyLibpqUrl } from '../../src/config/database-url.js'
import { migrate } from '../../src/db/migrate.js'
import { CLI, createFolder, DATABASE_PASSWORD, type Folder, runCli, startCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { PGBOUNCER_NOTE, SKIP_PGBOUNCER, startPgBouncer } from '../support/pgbouncer.js'

/** A program called `psql` that notes its arguments and its password, and then runs the script. */
async function folderWithPsql(script: string): Promise<Folder & { readonly bin: string; said(): Promise<string[]> }> {
  const folder = await createFolder()
  const bin = join(folder.path, 'bin')
  await mkdir(bin)
  const note = `printf '%s\\n' "$@" "password=$PGPASSWORD" > "${folder.path}/said"\n`
  await writeFile(join(bin, 'psql'), `#!/bin/sh\n${note}${script}\n`)
  await chmod(join(bin, 'psql'), 0o755)
  const said = async () => (await readFile(join(folder.path, 'said'), 'utf8')).trim().split('\n')
  return { ...folder, bin: `${bin}:${process.env.PATH}`, said }
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

test('starts psql with the arguments after --, its exit code is that of psql, and no argument has the password', async () => {
  await using database = await createCliDatabase()
  await using folder = await folderWithPsql('exit 7')

  const result = await runCli(['psql', '--', '-c', 'SELECT 1'], {
    cwd: folder.path,
    env: { DATABASE_URL: database.url, PATH: folder.bin },
  })

  expect(result).toMatchObject({ code: 7, stdout: '', stderr: '' })
  const [flag, url = '', ...others] = await folder.said()
  expect([flag, ...others]).toEqual(['--dbname', '-c', 'SELECT 1', `password=${DATABASE_PASSWORD}`])
  const { username, password, pathname } = new URL(url)
  expect([username, password, pathname]).toEqual([`${database.name}_owner`, '', `/${database.name}`])
})

test('--url prints a URL that reads and does not write, and with which `status` works', async () => {
  await using database = await createCliDatabase()
  await migrate(database.url)

  const { stdout, stderr } = await runSecretly(['psql', '--url'], { DATABASE_URL: database.url })

  expect(stderr).toBe('')
  const url = stdout.trim()
  expect(await query(url, 'SELECT count(*)::integer AS jobs FROM batch_jobs')).toEqual([{ jobs: 0 }])
  await expect(query(url, 'CREATE TABLE public.mine ()')).rejects.toMatchObject({ code: '25006' })
  expect(await runCli(['status'], { env: { DATABASE_URL: url } })).toMatchObject({ code: 0, stderr: '' })
})

/** Runs the program without the check of its output for secrets, because the URL has one. */
async function runSecretly(args: readonly string[], env: Readonly<Record<string, string>>) {
  await using folder = await createFolder()
  return await promisify(execFile)(process.execPath, [CLI, ...args], {
    cwd: folder.path,
    env: { PATH: process.env.PATH, ...env },
  })
}

test('where psql is not installed it says how to install it, prints the URL, and ends with 1', async () => {
  await using database = await createCliDatabase()

  const run = runSecretly(['psql'], { DATABASE_URL: database.url, PATH: '/nowhere' })

  await expect(run).rejects.toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/^postgres(ql)?:\/\/\S+\n$/),
    stderr: expect.stringMatching(/^spidra-sync: psql is not installed: install it/),
  })
})

test('a server that is away, and no database at all, are named before psql starts', async () => {
  await using folder = await folderWithPsql('exit 0')
  const env = { PATH: folder.bin }

  const away = await runCli(['psql'], { cwd: folder.path, env: { ...env, DATABASE_URL: 'postgres://a@127.0.0.1:9/b' } })
  const none = await runCli(['psql'], { cwd: folder.path, env })

  expect(away).toMatchObject({ code: 1, stderr: expect.stringMatching(/^spidra-sync: Cannot reach Postgres at /) })
  expect(none).toMatchObject({ code: 2, stderr: expect.stringMatching(/^spidra-sync: There is no database yet: /) })
  await expect(folder.said()).rejects.toThrow('ENOENT')
})

test.skipIf(SKIP_PGBOUNCER)(`a pooler that refuses a read-only session is named${PGBOUNCER_NOTE}`, async () => {
  await using database = await createCliDatabase()
  await using pooler = await startPgBouncer(database.url, { mode: 'transaction', poolSize: 1 })
  await using folder = await folderWithPsql('exit 0')

  const { code, stderr } = await runCli(['psql'], {
    cwd: folder.path,
    env: { DATABASE_URL: pooler.url, PATH: folder.bin },
  })

  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^spidra-sync: The pooler at \S+ refuses a read-only session/),
  ])
})

test('SIGINT is left to psql, and SIGTERM ends both', async () => {
  await using database = await createCliDatabase()
  await using folder = await folderWithPsql('echo started; exec sleep 60')
  await using cli = await startCli(['psql'], {
    cwd: folder.path,
    env: { DATABASE_URL: database.url, PATH: folder.bin },
  })
  await cli.says(/started/)

  cli.kill('SIGINT')
  cli.kill('SIGTERM')

  // A SIGINT that was not left to psql would have ended it with 130.
  expect(await cli.ended).toMatchObject({ code: 128 + 15, signal: null })
})

test.each([
  ['postgres://a:p@h/d?sslmode=no-verify', { sslmode: 'require' }],
  ['postgres://a:p@h/d?sslmode=verify-full', { sslmode: 'verify-full', sslrootcert: expect.any(String) }],
  ['postgres://a:p@h/d?sslmode=verify-full&sslrootcert=/my.pem', { sslmode: 'verify-full', sslrootcert: '/my.pem' }],
  ['postgres://a:p@h/d?uselibpqcompat=true&sslmode=require', { sslmode: 'require' }],
  ['postgres://a:p@h/d?schema=public&pgbouncer=true&connection_limit=1', {}],
  ['postgres://a:p@/d?host=/run/postgresql', { host: '/run/postgresql' }],
])('%s means the same to libpq, without parameters that it refuses', (text, parameters) => {
  const { options, ...others } = Object.fromEntries(toReadOnlyLibpqUrl(text).searchParams)

  expect(others).toEqual(parameters)
  expect(options).toContain('-c default_transaction_read_only=on')
})

test('options of a URL are kept, and written without plus signs', () => {
  const { search } = toReadOnlyLibpqUrl('postgres://a@h/d?options=-c%20work_mem%3D64MB')

  expect(search).toMatch(/^\?options=-c%20work_mem%3D64MB%20-c%20default_transaction_read_only%3Don/)
  expect(search).not.toContain('+')
})
