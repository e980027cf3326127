import { getBorderCharacters, table } from 'table'

/** A table for a terminal, without any line drawn: columns from `rightFrom` on are aligned to the right. */
export function toPlainTable(rows: readonly (readonly (string | number)[])[], rightFrom: number): string[] {
  const text = table(
    rows.map((row) => [...row]),
    {
      border: getBorderCharacters('void'),
      drawHorizontalLine: () => false,
      columnDefault: { paddingLeft: 0, paddingRight: 1 },
      columns: (rows[0] ?? []).map((_heading, column) => ({ alignment: column < rightFrom ? 'left' : 'right' })),
    },
  )
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.trimEnd())
}
