import { readdirSync, readFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { posix } from 'node:path'
import { describe, expect, test } from 'vitest'
import manifest from '../../package.json' with { type: 'json' }

/**
 * Who may import whom: each room what stands in its list. Imports go downwards only. Only `sync` joins the API to the
 * database; `commands`, `fleet` and `service`, which wire the parts together, may reach everything below them.
 */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  cli: ['commands', 'service', 'config', 'logging'],
  commands: ['fleet', 'service', 'report', 'sync', 'db', 'spidra', 'simulator', 'config', 'logging'],
  fleet: ['service', 'http', 'alerts', 'report', 'scheduler', 'sync', 'db', 'spidra', 'config', 'logging'],
  service: ['http', 'alerts', 'report', 'scheduler', 'sync', 'db', 'spidra', 'config', 'logging'],
  http: ['report', 'sync', 'spidra', 'config', 'logging'],
  alerts: ['db', 'config', 'logging'],
  report: ['sync', 'db', 'config', 'logging'],
  scheduler: ['sync', 'config', 'logging'],
  sync: ['db', 'spidra', 'config', 'logging'],
  db: ['config', 'logging'],
  spidra: ['logging'],
  simulator: ['logging'],
  config: ['logging'],
  logging: [],
}

/**
 * The doors of each room: the files that other rooms import. The others may change without a look outside. Every file of
 * `commands`, `logging`, `scheduler` and `service` may be a door.
 */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  fleet: ['fleet'],
  http: ['metrics', 'server', 'shared-reads'],
  alerts: ['watch'],
  report: [
    ...['browser-script', 'dashboard-data', 'fleet', 'fleet-text', 'format', 'freshness', 'html', 'jobs-page'],
    ...['load-progress', 'message-page', 'overview-page', 'page', 'report-text', 'status', 'status-text', 'stylesheet'],
  ],
  sync: ['cost', 'foreign-list', 'interruptions', 'page', 'reasons', 'recorded-run', 'run-summary', 'verify-sample'],
  db: [
    ...[
      'alerts',
      'batch-items',
      'batch-jobs',
      'batch-jobs-read',
      'client',
      'connection',
      'connection-error',
      'embedded/postgres',
    ],
    ...[
      'generated/client',
      'housekeeping',
      'migrate',
      'read-only',
      'reader-role',
      'rejected-jobs',
      'retry',
      'run-lease',
    ],
    ...['stored-accounts', 'sync-runs', 'sync-state', 'workers'],
  ],
  spidra: ['budget-rules', 'client', 'connection', 'errors', 'rate-limit-headers', 'request-budget', 'wire'],
  simulator: ['faults', 'server'],
  config: ['accounts', 'config', 'database-url', 'env-file', 'errors', 'scale', 'secrets', 'usable', 'variables'],
}

/** `static`, `type` and dynamic imports, and re-exports. */
const IMPORT = /(?:^|[\s;}])(?:import|export)\b(?:[^'";]*?\bfrom)?\s*\(?\s*'([^']+)'/gm

const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => path.endsWith('.ts') && !path.startsWith('db/generated/'))
  .map((path) => ({ path, text: readFileSync(posix.join('src', path), 'utf8') }))

const edges = files.flatMap(({ path, text }) =>
  importsIn(text).map((target) => ({
    from: path,
    to: target.startsWith('.') ? posix.join(posix.dirname(path), target).replace(/\.js$/, '.ts') : target,
    isOurs: target.startsWith('.'),
  })),
)

function importsIn(text: string): string[] {
  return Array.from(withoutComments(text).matchAll(IMPORT), (match) => match[1] ?? '')
}

/** Good enough for formatted code: a `//` inside a string follows a colon or a quote there. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[\s;,{(])\/\/.*$/gm, '$1')
}

/** The folder of a file; `cli` for the entry point, the only file at the top. */
function roomOf(path: string): string {
  return path === 'cli.ts' ? 'cli' : path.includes('/') ? (path.split('/')[0] ?? '') : path
}

/** A chain of files that ends where it began; null when there is none. */
function findCycle(graph: ReadonlyMap<string, readonly string[]>): readonly string[] | null {
  const done = new Set<string>()
  const visit = (file: string, chain: readonly string[]): readonly string[] | null => {
    if (chain.includes(file)) return [...chain.slice(chain.indexOf(file)), file]
    if (done.has(file)) return null
    for (const next of graph.get(file) ?? []) {
      const cycle = visit(next, [...chain, file])
      if (cycle !== null) return cycle
    }
    done.add(file)
    return null
  }
  for (const file of graph.keys()) {
    const cycle = visit(file, [])
    if (cycle !== null) return cycle
  }
  return null
}

describe('src', () => {
  test('imports go downwards only', () => {
    const forbidden = edges
      .filter(({ isOurs }) => isOurs)
      .filter(({ from, to }) => roomOf(from) !== roomOf(to) && !ALLOWED[roomOf(from)]?.includes(roomOf(to)))

    expect(forbidden.map(({ from, to }) => `${from} -> ${to}`)).toEqual([])
  })

  test('a room is entered by its doors, and every door is used', () => {
    const entered = edges.filter(({ isOurs, from, to }) => isOurs && roomOf(from) !== roomOf(to)).map(({ to }) => to)
    const doors = Object.entries(DOORS).flatMap(([room, names]) => names.map((name) => `${room}/${name}.ts`))

    expect([...new Set(entered)].filter((path) => roomOf(path) in DOORS).sort()).toEqual(doors.sort())
  })

  test('every folder is listed, and only the entry point lies outside one', () => {
    expect([...new Set(files.map(({ path }) => roomOf(path)))].filter((room) => !(room in ALLOWED))).toEqual([])
  })

  test('no file imports itself by a detour', () => {
    const graph = new Map(
      files.map(({ path }) => [path, edges.filter(({ from }) => from === path).map(({ to }) => to)]),
    )

    expect(findCycle(graph)).toBeNull()
  })

  test('every package it imports is among the dependencies, and by its exact version', () => {
    const declared = Object.entries(manifest.dependencies).flatMap(([name, version]) =>
      /^\d+(\.\d+){2}$/.test(version) ? name : [],
    )
    const packages = edges
      .filter(({ isOurs, to }) => !isOurs && !to.startsWith('node:'))
      .map(({ to }) => to.split('/', to.startsWith('@') ? 2 : 1).join('/'))

    expect([...new Set(packages)].filter((name) => !declared.includes(name))).toEqual([])
  })

  test('Node modules are imported under their node: names', () => {
    expect(edges.filter(({ to }) => builtinModules.includes(to))).toEqual([])
  })

  test('only cli.ts touches the process', () => {
    const touching = files.filter(({ text }) => /\bprocess\.\w|['"](?:node:)?process['"]/.test(withoutComments(text)))

    expect(touching.map(({ path }) => path).filter((path) => path !== 'cli.ts')).toEqual([])
  })

  test('nothing is exported as default', () => {
    expect(
      files.filter(({ text }) => /^export (default\b|\{[^}]*\bas default\b)/m.test(text)).map(({ path }) => path),
    ).toEqual([])
  })
})

describe('bench', () => {
  test('no file imports itself through others', () => {
    const folders = readdirSync('bench', { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map(({ name }) => name)
    const paths = ['', ...folders].flatMap((folder) =>
      readdirSync(posix.join('bench', folder)).map((name) => posix.join(folder, name)),
    )
    const graph = new Map(
      paths
        .filter((path) => path.endsWith('.ts'))
        .map((path) => [
          path,
          importsIn(readFileSync(posix.join('bench', path), 'utf8')).map((target) =>
            posix.join(posix.dirname(path), target).replace(/\.js$/, '.ts'),
          ),
        ]),
    )

    expect(graph.size).toBeGreaterThan(15)
    expect(findCycle(graph)).toBeNull()
  })
})

describe('the checks themselves', () => {
  test('see every form of import, and none in comments', () => {
    const text = [
      "import { a,\n  type b } from './one.js'",
      "import type { c } from './two.js'",
      "import './three.js'",
      "export { d } from './four.js'",
      "const e = await import('./five.js')",
      "// import './six.js'",
      "/* import './seven.js' */",
      "export const url = 'https://eight.test'",
    ].join('\n')

    expect(importsIn(text)).toEqual(['./one.js', './two.js', './three.js', './four.js', './five.js'])
  })

  test('find a cycle', () => {
    const graph = new Map([
      ['a', ['b']],
      ['b', ['c', 'd']],
      ['c', []],
      ['d', ['b']],
    ])

    expect(findCycle(graph)).toEqual(['b', 'd', 'b'])
  })
})
