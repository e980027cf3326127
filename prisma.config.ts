import { defineConfig } from 'prisma/config'

// The CLI insists on a schema engine even for `generate`, which never runs it, and tries to download one. Any
// existing file satisfies it, so that a build needs nothing but the npm registry.
if (process.argv.includes('generate')) process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= process.execPath

/** The migration ledger lives in schema `spidra`, where our own runner keeps it too. */
function withLedgerSchema(databaseUrl: string): string {
  const url = new URL(databaseUrl)
  url.searchParams.set('schema', 'spidra')
  return url.href
}

const databaseUrl = process.env.DATABASE_URL

export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  ...(databaseUrl ? { datasource: { url: withLedgerSchema(databaseUrl) } } : {}),
})
