import { defineConfig } from 'prisma/config'
import { parseDatabaseUrl } from './src/config/database-url.js'

// The CLI insists on a schema engine even for `generate`, which never runs it, and tries to download one. Any
// existing file satisfies it, so that a build needs nothing but the npm registry.
if (process.argv.includes('generate')) process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= process.execPath

// `npm ci` builds in whatever environment there is: a value that is no URL must not stop `generate`, which needs none.
const databaseUrl = parseDatabaseUrl(process.env.DATABASE_URL ?? '')
// The migration ledger lives in schema `spidra`, where our own runner keeps it too.
databaseUrl?.searchParams.set('schema', 'spidra')

export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  ...(databaseUrl === null ? {} : { datasource: { url: databaseUrl.href } }),
})
