import { readFileSync } from 'node:fs'

/** The first block of SQL under a heading of docs/operations.md, with these words in place of others. */
export function sqlOfOperations(heading: string, replace: Readonly<Record<string, string>> = {}): string {
  const text = readFileSync('docs/operations.md', 'utf8')
  const section = text.slice(text.indexOf(`# ${heading}\n`))
  const sql = /```sql\n([\s\S]*?)```/.exec(section)?.[1]
  if (sql === undefined || !text.includes(`# ${heading}\n`)) throw new Error(`no SQL under ${heading}`)
  return Object.entries(replace).reduce((changed, [word, by]) => changed.replaceAll(word, by), sql)
}
