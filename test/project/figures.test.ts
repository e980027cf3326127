import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { faultsIn, namesIn, withFigures } from '../../bench/marks.js'

const FIGURES = JSON.parse(readFileSync('bench/figures.json', 'utf8'))
const PAGES = ['README.md', ...readdirSync('docs').flatMap((name) => (name.endsWith('.md') ? `docs/${name}` : []))]

test.each(PAGES)('%s quotes the figures of the last benchmark; else run npm run figures', (name) => {
  expect(faultsIn(name, readFileSync(name, 'utf8'), FIGURES)).toEqual([])
})

test('README.md and bench/report.md show the same tables, with date, machine and versions', () => {
  const report = readFileSync('bench/report.md', 'utf8')

  expect(namesIn(readFileSync('README.md', 'utf8'))).toEqual(expect.arrayContaining(['facts', 'freshness', 'headline']))
  for (const name of ['facts', 'freshness', 'headline']) expect(report).toContain(FIGURES[name])
})

describe('marks', () => {
  const page =
    'It takes <!-- figure time -->1 s<!-- /figure -->.\n\n<!-- figure table -->\n\n| 1 |\n\n<!-- /figure -->\n'

  test('take a figure in a sentence and a table on lines of its own', () => {
    expect(withFigures(page, { time: '2 s', table: '| a |\n| 2 |' })).toBe(
      'It takes <!-- figure time -->2 s<!-- /figure -->.\n\n<!-- figure table -->\n\n| a |\n| 2 |\n\n<!-- /figure -->\n',
    )
  })

  test('are empty while a table was never measured', () => {
    const empty = '<!-- figure table -->\n<!-- /figure -->'

    expect(withFigures(empty, { table: '' })).toBe(empty)
    expect(withFigures(empty, { table: '| 1 |' })).toBe('<!-- figure table -->\n\n| 1 |\n\n<!-- /figure -->')
  })

  test('keep a figure that was not measured, and report it', () => {
    expect(withFigures(page, { time: '1 s' })).toBe(page)
    expect(faultsIn('a page', page, { time: '1 s' })).toEqual([
      'a page: the benchmark has not measured the figure "table"',
    ])
  })

  test('report a figure that differs, and a mark that is not closed', () => {
    expect(faultsIn('a page', page, { time: '2 s', table: '| 1 |' })).toEqual([
      'a page: a figure differs from bench/figures.json',
    ])
    expect(faultsIn('a page', 'It takes <!-- figure time -->1 s.', { time: '1 s' })).toEqual([
      'a page: a mark of a figure is not closed',
    ])
  })
})
