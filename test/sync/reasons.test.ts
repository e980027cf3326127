import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { expect, test } from 'vitest'
import { explainReason } from '../../src/sync/reasons.js'

/** The words of a closed union in a source file. */
function wordsOf(file: string, type: string): string[] {
  const [, union = ''] = new RegExp(`export type ${type} =([^/]*?)\\n\\n`).exec(readFileSync(file, 'utf8')) ?? []
  return Array.from(union.matchAll(/'(\w+)'/g), ([, word = '']) => word)
}

const PARTIAL = wordsOf('src/sync/verdict.ts', 'PartialReason')

/** The codes of the errors that end a run: of the API, of the database, and of the run itself. */
function errorCodes(): string[] {
  const own = ['src/sync', 'src/db'].flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) =>
        Array.from(
          readFileSync(posix.join(folder, name), 'utf8').matchAll(
            /(?:readonly code =|errorCode:|error_code =) '(\w+)'/g,
          ),
          ([, code = '']) => code,
        ),
      ),
  )
  return [
    ...wordsOf('src/spidra/errors.ts', 'SpidraErrorCode'),
    ...wordsOf('src/db/connection-error.ts', 'DatabaseErrorCode'),
    ...own,
  ]
}

test.each(PARTIAL)('%s is explained in words, with what to do', (reason) => {
  const { meaning, advice } = explainReason(reason)

  expect(meaning).toMatch(/^[a-z][^_]{20,}[^.]$/)
  expect(advice).toMatch(/^[A-Z].{20,}\.$/)
})

test.each([...new Set(errorCodes())])('the error code %s has a place of its own in the table', (code) => {
  expect(explainReason(code)).not.toBe(explainReason('no such code'))
})

test('the lists are read from the sources', () => {
  expect(PARTIAL).toContain('list_moving')
  expect(errorCodes()).toEqual(expect.arrayContaining(['timeout', 'disk_full', 'foreign_list', 'stalled', 'stopped']))
})

test('docs/operations.md has every reason of a partial run', () => {
  const page = readFileSync('docs/operations.md', 'utf8')

  expect(PARTIAL.filter((reason) => !page.includes(`\`${reason}\``))).toEqual([])
})
