import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { PrismaPg } from '@prisma/adapter-pg'
import {
  bindMigrationAwareSqlAdapterFactory,
  ColumnTypeEnum,
  type SqlDriverAdapter,
  type SqlMigrationAwareDriverAdapterFactory,
  type SqlQuery,
} from '@prisma/driver-adapter-utils'
import * as bindings from '@prisma/schema-engine-wasm/schema_engine_bg'
import { Pool, type QueryConfig } from 'pg'

const REPOSITORY = new URL('../../', import.meta.url)

/** The type `"char"` of Postgres' catalogs. */
const CHAR_OID = 18
const TEXT_OID = 25

const NO_FILTERS = { externalTables: [], externalEnums: [] }

/** Prisma's own opinion of a database, without its CLI. */
export interface SchemaEngine extends AsyncDisposable {
  /** What `prisma migrate status` says. */
  diagnoseMigrationHistory(): Promise<bindings.DiagnoseMigrationHistoryOutput>
  /** What `prisma migrate deploy` does; the names of the migrations applied. */
  applyMigrations(): Promise<string[]>
  /** The SQL that would turn the database into what prisma/schema.prisma says. */
  diffToSchema(): Promise<string | null>
}

/**
 * Opens Prisma's schema engine, as the WebAssembly module that the CLI embeds, on a database.
 *
 * The CLI itself would download a binary. `free()` of the engine leaves its connection and its lock open, so the pool
 * is our own, and ends with us.
 */
export async function openSchemaEngine(databaseUrl: string): Promise<SchemaEngine> {
  await loadBindings()
  const pool = new Pool({ connectionString: databaseUrl, max: 1, options: '-c search_path=spidra' })
  const schema = { path: 'schema.prisma', content: await readFile(new URL('prisma/schema.prisma', REPOSITORY), 'utf8') }
  const engine = await bindings.SchemaEngine.new(
    { datamodels: [[schema.path, schema.content]] },
    () => undefined,
    bindMigrationAwareSqlAdapterFactory(createAdapterFactory(pool)),
  )
  const migrationsList = await readMigrationsList()
  return {
    diagnoseMigrationHistory: () =>
      engine.diagnoseMigrationHistory({ migrationsList, optInToShadowDatabase: false, filters: NO_FILTERS }),
    applyMigrations: async () =>
      (await engine.applyMigrations({ migrationsList, filters: NO_FILTERS })).appliedMigrationNames,
    diffToSchema: async () => {
      const from: bindings.DiffTarget = { tag: 'schemaDatasource', files: [schema], configDir: '.' }
      const to: bindings.DiffTarget = { tag: 'schemaDatamodel', files: [schema] }
      return (await engine.diff({ from, to, script: true, exitCode: null, filters: NO_FILTERS })).stdout
    },
    [Symbol.asyncDispose]: () => pool.end(),
  }
}

/** PrismaPg with two of its gaps closed: it knows no `"char"`, and cuts a script at every semicolon. */
function createAdapterFactory(pool: Pool): SqlMigrationAwareDriverAdapterFactory {
  const query = pool.query.bind(pool)
  let charColumns: readonly boolean[] = []
  const queryWithoutChar = async (config: QueryConfig) => {
    const result = await query(config)
    charColumns = result.fields.map((field) => field.dataTypeID === CHAR_OID)
    for (const field of result.fields) if (field.dataTypeID === CHAR_OID) field.dataTypeID = TEXT_OID
    return result
  }
  const factory = new PrismaPg(Object.assign(pool, { query: queryWithoutChar }) as Pool, { schema: 'spidra' })
  const connect = async (): Promise<SqlDriverAdapter> => {
    const adapter = await factory.connect()
    const queryRaw = adapter.queryRaw.bind(adapter)
    return Object.assign(adapter, {
      queryRaw: async (text: SqlQuery) => {
        const result = await queryRaw(text)
        const columnTypes = result.columnTypes.map((type, i) => (charColumns[i] ? ColumnTypeEnum.Character : type))
        return { ...result, columnTypes }
      },
      executeScript: async (script: string) => void (await query(script)),
    })
  }
  return { provider: factory.provider, adapterName: factory.adapterName, connect, connectToShadowDb: connect }
}

interface WasmExports {
  __wbindgen_start(): void
}

/** What TypeScript knows of WebAssembly comes with the DOM, which we do not have. */
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { instantiate(code: Uint8Array, imports: object): Promise<{ instance: { exports: WasmExports } }> }
}

let loading: Promise<void> | undefined

/** Once a process: the bindings know one module only. */
function loadBindings(): Promise<void> {
  loading ??= instantiate()
  return loading
}

async function instantiate(): Promise<void> {
  const script = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg')
  const code = await readFile(script.replace(/\.js$/, '.wasm'))
  const { instance } = await WebAssembly.instantiate(code, { './schema_engine_bg.js': { ...bindings } })
  const { __wbg_set_wasm } = bindings as unknown as { __wbg_set_wasm(exports: WasmExports): void }
  __wbg_set_wasm(instance.exports)
  instance.exports.__wbindgen_start()
}

async function readMigrationsList(): Promise<bindings.MigrationList> {
  const directory = new URL('prisma/migrations/', REPOSITORY)
  const entries = await readdir(directory, { withFileTypes: true })
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  const read = async (path: string) => {
    const value = await readFile(new URL(`${path}/migration.sql`, directory), 'utf8')
    return { path, migrationFile: { path: 'migration.sql', content: { tag: 'ok', value } as const } }
  }
  const lockfile = await readFile(new URL('migration_lock.toml', directory), 'utf8')
  return {
    baseDir: 'prisma/migrations',
    lockfile: { path: 'migration_lock.toml', content: lockfile },
    shadowDbInitScript: '',
    migrationDirectories: await Promise.all(names.sort().map(read)),
  }
}
