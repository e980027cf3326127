import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** The coverage file that V8 writes at a normal exit, in the folder that `NODE_V8_COVERAGE` names. */
interface Coverage {
  readonly result: readonly { readonly url: string }[]
}

/** The modules that the program has loaded, by the coverage in `folder`: `src/cli.ts`, `node_modules/pg`. */
export async function loadedModules(folder: string): Promise<readonly string[]> {
  const files = (await readdir(folder)).filter((name) => name.startsWith('coverage-'))
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))
  const urls = texts.flatMap((text) => (JSON.parse(text) as Coverage).result.map(({ url }) => url))
  return [...new Set(urls.flatMap((url) => moduleAt(url) ?? []))]
}

/** A package by its folder, a file of ours by its source; null for Node's own modules. */
function moduleAt(url: string): string | null {
  const [installed] = /node_modules\/(?:@[^/]+\/)?[^/]+(?!.*\/node_modules\/)/.exec(url) ?? []
  const [, own] = /\/dist\/(.+)\.js$/.exec(url) ?? []
  return installed ?? (own === undefined ? null : `src/${own}.ts`)
}
