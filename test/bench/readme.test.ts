import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const report = readFileSync('bench/report.md', 'utf8')
const readme = readFileSync('README.md', 'utf8')

test('README.md quotes the headline of bench/report.md, with its date, machine and versions', () => {
  const [facts = '', table = ''] = report.split('\n\n').filter((block) => /^[-|]/.test(block))

  expect(facts).toContain('- Date: ')
  expect(table).toContain('**spidra-sync**')
  expect(readme).toContain(`\n${facts}\n`)
  expect(readme).toContain(`\n${table}\n`)
})
