import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { escapeIdentifier } from 'pg'
import type { TestProject } from 'vitest/node'
import { openEmbeddedPostgres } from '../../src/db/embedded/postgres.js'
import { migrate } from '../../src/db/migrate.js'
import { asAdmin, toDatabaseUrl } from './admin.js'
import { CONTAINER_IMAGE, type PostgresChoice } from './postgres-choice.js'

/** What a test file needs to create its own databases. */
export interface TestServer {
  /** Connection string of a role that may create databases. */
  readonly adminUrl: string
  /** The beginning of the name of every database of this test run. */
  readonly prefix: string
  /** Name of the migrated, empty database that is cloned. */
  readonly template: string
}

declare module 'vitest' {
  export interface ProvidedContext {
    postgresChoice: PostgresChoice
    testServer: TestServer
  }
}

/** A test server may lose everything in a crash. Autovacuum would write WAL during a measurement. */
const SETTINGS = { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off', autovacuum: 'off' }

/** Vitest's global set-up: starts the server, migrates the template once, and stops it after the last test. */
export default async function startTestServer(project: TestProject): Promise<() => Promise<void>> {
  const choice = project.config.provide.postgresChoice
  if (choice === undefined) throw new Error('vitest.config.ts provides no postgresChoice')
  const { adminUrl, stop } = await startPostgres(choice)
  try {
    const prefix = `spidra_test_${randomBytes(4).toString('hex')}_`
    const template = `${prefix}template`
    await asAdmin(adminUrl, (admin) => admin.query(`CREATE DATABASE ${escapeIdentifier(template)}`))
    await migrate(toDatabaseUrl(adminUrl, template))
    project.provide('testServer', { adminUrl, prefix, template })
    return async () => {
      if (choice.kind === 'given') await dropDatabases(adminUrl, prefix)
      await stop()
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function startPostgres(choice: PostgresChoice): Promise<{ adminUrl: string; stop: () => Promise<void> }> {
  if (choice.url !== null) return { adminUrl: choice.url, stop: async () => undefined }
  if (choice.kind === 'container') {
    const { PostgreSqlContainer } = await import('@testcontainers/postgresql')
    const options = Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const container = await new PostgreSqlContainer(CONTAINER_IMAGE).withCommand(['postgres', ...options]).start()
    return { adminUrl: container.getConnectionUri(), stop: async () => void (await container.stop()) }
  }
  const directory = await mkdtemp(join(tmpdir(), 'spidra-sync-test-'))
  await chmod(directory, 0o755) // if run by root: the server runs as another user, who must be able to enter
  const server = await openEmbeddedPostgres({ directory, settings: SETTINGS })
  const stop = async () => {
    await server.close()
    await rm(directory, { recursive: true, force: true })
  }
  return { adminUrl: server.url, stop }
}

/** Drops all databases of this run, also those of test files that were cut off. */
async function dropDatabases(adminUrl: string, prefix: string): Promise<void> {
  await asAdmin(adminUrl, async (admin) => {
    const like = `${prefix.replaceAll('_', '\\_')}%`
    const { rows } = await admin.query<{ datname: string }>('SELECT datname FROM pg_database WHERE datname LIKE $1', [
      like,
    ])
    for (const { datname } of rows)
      await admin.query(`DROP DATABASE IF EXISTS ${escapeIdentifier(datname)} WITH (FORCE)`)
  })
}
