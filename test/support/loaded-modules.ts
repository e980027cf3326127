import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The coverage file that V8 writes at a normal exit, in the folder that `NODE_V8_COVERAGE` names. */
interface Coverage {
  readonly result: readonly { readonly url: string }[]
}

/** The modules that the program has loaded, by the coverage in `folder`: `src/cli.ts`, `node_modules/pg`. */
export async function loadedModules(folder: string): Promise<readonly string[]> {
  const files = (await readdir(folder)).filter((name) => name.startsWith('coverage-'))
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))
  const urls = texts.flatMap((text) => (JSON.parse(text) as Coverage).result.map(({ url }) => url))
  const chunks = new Set(urls.filter((url) => url.startsWith('file:') && url.includes('/dist/')))
  const names = await Promise.all([...chunks].map((url) => modulesIn(fileURLToPath(url))))
  return [...new Set(names.flat())]
}

/** The bundler writes above each module where it comes from. */
async function modulesIn(chunk: string): Promise<string[]> {
  const text = await readFile(chunk, 'utf8')
  return Array.from(
    text.matchAll(/^ *\/\/ (?:(src\/\S+)|.*(node_modules\/(?:@[^/\s]+\/)?[^/\s]+)\/\S+)$/gm),
    ([, own, other]) => own ?? other ?? '',
  )
}
