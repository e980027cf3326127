import { escapeIdentifier, escapeLiteral } from 'pg'
import { inject } from 'vitest'
import { asAdmin } from './admin.js'
import { DATABASE_PASSWORD } from './cli.js'
import { createTestDatabase, type TestDatabase } from './test-database.js'

/**
 * Creates a database as a user would have it: empty, and owned by a role without other rights. The role's password is
 * easy to find in an output.
 */
export async function createCliDatabase({
  password = DATABASE_PASSWORD,
  ...options
}: {
  password?: string
  encoding?: string
} = {}): Promise<TestDatabase> {
  const database = await createTestDatabase({ isMigrated: false, ...options })
  const { adminUrl } = inject('testServer')
  const role = `${database.name}_owner`
  const identifier = escapeIdentifier(role)
  await asAdmin(adminUrl, async (admin) => {
    await admin.query(`CREATE ROLE ${identifier} LOGIN PASSWORD ${escapeLiteral(password)}`)
    await admin.query(`ALTER DATABASE ${escapeIdentifier(database.name)} OWNER TO ${identifier}`)
  })
  const url = new URL(database.url)
  url.username = role
  url.password = encodeURIComponent(password)
  return {
    ...database,
    url: url.href,
    async [Symbol.asyncDispose]() {
      await database[Symbol.asyncDispose]()
      await asAdmin(adminUrl, (admin) => admin.query(`DROP ROLE ${identifier}`))
    },
  }
}
