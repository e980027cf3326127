import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const PACKAGE = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/
const TEXT = /^(licen[cs]e|copying|notice)/i

/** Between one package and the next. */
const SEPARATOR = `\n${'-'.repeat(80)}\n\n`

/** What MIT asks to go along, for packages that name it and do not carry it. */
const MIT = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`

/** The packages among the files of a bundle, each with its version and the text of its licence, which goes with it. */
export function licencesOf(files, root) {
  const packages = new Set(files.flatMap((file) => PACKAGE.exec(file) ?? []))
  return [...packages]
    .sort()
    .map((folder) => licenceOf(join(root, folder)))
    .join(SEPARATOR)
}

function licenceOf(folder) {
  const { name, version, license, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const files = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile() && TEXT.test(entry.name))
  const texts = files.map((file) => readFileSync(join(folder, file.name), 'utf8'))
  if (texts.length === 0) texts.push(textOf(name, license, author))
  return [`${name} ${version}: ${license}\n`, ...texts].join('\n')
}

function textOf(name, license, author) {
  if (license !== 'MIT')
    throw new Error(`${name} carries no text of its licence, ${license}: add it to scripts/licences.js`)
  return `Copyright (c) ${typeof author === 'object' ? author.name : author}\n\n${MIT}`
}
