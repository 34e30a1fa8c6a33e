/** Formats a table with columns as wide as their content; the last is not padded. Only `paint` may add colours. */
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

/** Formats a duration: `8 ms`, `1.3 s`, `2 m 05 s`, `3 h 07 m`. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  const seconds = ms / 1000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0')
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`
  return `${Math.floor(seconds / 3600)} h ${two((seconds % 3600) / 60)} m`
}

/** Formats a size: `999 bytes`, `1.5 MB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`
  const units = ['kB', 'MB', 'GB', 'TB']
  let value = bytes / 1000
  let unit = 0
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000
  return `${value.toFixed(1)} ${units[unit]}`
}

/** Formats a count with its noun: `1 run`, `2 runs`. */
export const countText = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`

/** Formats a number with separators: `10,000`. */
export const numberText = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, ',')
