import { expect, test } from 'vitest'
import { migrate } from '../../src/db/migrate.js'
import { runCli } from '../support/cli.js'
import { createCliDatabase } from '../support/cli-database.js'
import { createReader } from '../support/reader.js'

test('lets an existing role read the views, with the rights of the role that migrated, and without a key', async () => {
  await using database = await createCliDatabase()
  await using reader = await createReader(database)
  const env = { DATABASE_URL: database.url }

  expect(await runCli(['grant-reader', reader.name], { env })).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringContaining('run `spidra-sync migrate`'),
  })
  await migrate(database.url)
  const granted = `${reader.name} may read the 15 views of spidra_reporting, and those that later versions add.\n`
  expect(await runCli(['grant-reader', reader.name], { env })).toEqual({
    ...{ code: 0, signal: null, stderr: '' },
    stdout: granted,
  })
  expect(await reader.query('SELECT FROM spidra_reporting.sync_freshness')).toEqual([])
  await expect(reader.query('SELECT FROM spidra.sync_state')).rejects.toMatchObject({ code: '42501' })

  expect((await runCli(['grant-reader', reader.name, '--with-results'], { env })).stdout).toBe(
    `${granted}It may read the results of batches too, in spidra.batch_results.\n`,
  )
  expect(await reader.query('SELECT FROM spidra.batch_results')).toEqual([])

  await database.sql(
    `REVOKE CONNECT ON DATABASE ${database.name} FROM PUBLIC; GRANT pg_read_all_data TO ${reader.name}`,
  )
  expect((await runCli(['grant-reader', reader.name], { env })).stdout).toBe(
    `${granted}It may not connect yet: GRANT CONNECT ON DATABASE "${database.name}" TO "${reader.name}".\n` +
      'It may read the tables in schema spidra too, by other rights that it has.\n',
  )
}, 60_000)

test('takes any name that a role can have', async () => {
  await using database = await createCliDatabase()
  await migrate(database.url)
  await using reader = await createReader(database, `Ü "x"; --'`)

  const { code, stderr } = await runCli(['grant-reader', reader.name], { env: { DATABASE_URL: database.url } })

  expect([code, stderr]).toEqual([0, ''])
  const { stdout } = await runCli(['grant-reader', reader.name, '--json'], { env: { DATABASE_URL: database.url } })
  expect(JSON.parse(stdout)).toMatchObject({
    role: reader.name,
    mayConnect: true,
    readsResults: false,
    readsTables: false,
  })
  expect(await reader.query('SELECT FROM spidra_reporting.sync_freshness')).toEqual([])
})

test('a role that is not there: 1, and what to do', async () => {
  await using database = await createCliDatabase()
  await migrate(database.url)

  expect(await runCli(['grant-reader', 'Nobody'], { env: { DATABASE_URL: database.url } })).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(
      /^spidra-sync: There is no role "Nobody": create it first .*capital letters count\.\n$/,
    ),
  })
})

test.each([
  [[''], /"" cannot be the name of a role: it is empty\./],
  [['x'.repeat(64)], /it has more than 63 bytes/],
  [['public'], /Postgres reserves that word/],
  [[], /missing required argument 'role'/],
  [['one', 'two'], /too many arguments/],
])('%j: 2, before the database is asked', async (names, message) => {
  const env = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing' }

  expect(await runCli(['grant-reader', ...names], { env })).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringMatching(message),
  })
})

test('without the right to grant: 1, also where Postgres would only warn, and nothing is half granted', async () => {
  await using database = await createCliDatabase()
  await migrate(database.url)
  await using poor = await createReader(database, 'poor')
  await using reader = await createReader(database)
  const asPoor = new URL(database.url)
  asPoor.username = poor.name
  await database.sql(`ALTER ROLE ${poor.name} PASSWORD '${decodeURIComponent(asPoor.password)}'`)
  const env = { DATABASE_URL: asPoor.href }
  const refused = {
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/lacks a right in database .*let it own the schemas/),
  }

  expect(await runCli(['grant-reader', reader.name], { env })).toMatchObject(refused)

  // Who has a right, but not to hand it on, is told so by a warning only; and default rights of the owner it may not set.
  const owner = `${database.name}_owner`
  await database.sql(`GRANT USAGE ON SCHEMA spidra_reporting TO ${poor.name};
    GRANT SELECT ON ALL TABLES IN SCHEMA spidra_reporting TO ${poor.name}`)
  expect(await runCli(['grant-reader', reader.name], { env })).toMatchObject(refused)
  await database.sql(`GRANT USAGE ON SCHEMA spidra_reporting TO ${poor.name} WITH GRANT OPTION`)
  expect(await runCli(['grant-reader', reader.name], { env })).toMatchObject(refused)
  await expect(reader.query('SELECT FROM spidra_reporting.sync_freshness')).rejects.toMatchObject({ code: '42501' })

  await database.sql(`REVOKE ALL ON SCHEMA spidra_reporting FROM ${poor.name}; GRANT ${owner} TO ${poor.name}`)
  expect(await runCli(['grant-reader', reader.name], { env })).toMatchObject({ code: 0 })
  expect(await reader.query('SELECT FROM spidra_reporting.sync_freshness')).toEqual([])
}, 60_000)
