/** Columns wide enough for what stands in them; the last is not padded. Cells hold no colour codes but by `paint`. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  paint: (row: number, column: number, padded: string) => string = (_row, _column, padded) => padded,
): string {
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]!.length)))
  const line = (cells: readonly string[], row: number): string =>
    cells
      .map((cell, column) =>
        paint(row, column, column === cells.length - 1 ? cell : cell.padEnd(widths[column]!)),
      )
      .join('  ')
      .trimEnd()
  return [line(head, -1), ...rows.map(line)].map((text) => `${text}\n`).join('')
}
