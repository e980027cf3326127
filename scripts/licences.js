import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const PACKAGE = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/
const TEXT = /^(licen[cs]e|copying|notice)/i

/** Between one package and the next. */
const SEPARATOR = `\n${'-'.repeat(80)}\n\n`

/** The packages among the files of a bundle, each with its version and the text of its licence, which goes with it. */
export function licencesOf(files, root) {
  const packages = new Set(files.flatMap((file) => PACKAGE.exec(file) ?? []))
  return [...packages]
    .sort()
    .map((folder) => licenceOf(join(root, folder)))
    .join(SEPARATOR)
}

function licenceOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const files = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile() && TEXT.test(entry.name))
  const texts = files.map((file) => readFileSync(join(folder, file.name), 'utf8'))
  return [`${name} ${version}: ${license}\n`, ...texts].join('\n')
}
