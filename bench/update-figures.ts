// `npm run figures` writes the figures of bench/figures.json into README.md and docs/. With --check it only compares.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { faultsIn, withFigures } from './marks.js'

const figures = JSON.parse(readFileSync('bench/figures.json', 'utf8'))
const names = ['README.md', ...readdirSync('docs').flatMap((name) => (name.endsWith('.md') ? `docs/${name}` : []))]
const isCheck = process.argv.includes('--check')
for (const name of names) {
  const page = readFileSync(name, 'utf8')
  const updated = withFigures(page, figures)
  if (!isCheck && updated !== page) {
    writeFileSync(name, updated)
    process.stdout.write(`updated: ${name}\n`)
  }
  for (const fault of faultsIn(name, isCheck ? page : updated, figures)) {
    process.stdout.write(`${fault}\n`)
    process.exitCode = 1
  }
}
