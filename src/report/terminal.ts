import { getBorderCharacters, table } from 'table'

/** Cuts a text off that is longer, so that a line fits into 80 columns. */
export function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}

/** Joins blocks of lines for a terminal, with an empty line between two blocks. Leaves out empty blocks. */
export function joinBlocks(blocks: readonly (readonly string[])[]): string {
  return blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map((line) => `${line}\n`).join(''))
    .join('\n')
}

/**
 * Formats a table for a terminal, without any drawn line.
 *
 * @param options `left`: the number of columns that are aligned left, the others are aligned right; `gap`: spaces between
 *   two columns, default 1; `firstWidth`: the width of the first column, whose longer cells are wrapped, default: as wide
 *   as its longest cell
 */
export function toPlainTable(
  rows: readonly (readonly (string | number)[])[],
  { left, gap = 1, firstWidth }: { readonly left: number; readonly gap?: number; readonly firstWidth?: number },
): string[] {
  const text = table(
    rows.map((row) => [...row]),
    {
      border: getBorderCharacters('void'),
      drawHorizontalLine: () => false,
      columnDefault: { paddingLeft: 0, paddingRight: gap },
      columns: (rows[0] ?? []).map((_heading, column) => ({
        alignment: column < left ? 'left' : 'right',
        ...(column === 0 && firstWidth !== undefined ? { width: firstWidth, wrapWord: false } : {}),
      })),
    },
  )
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.trimEnd())
}
