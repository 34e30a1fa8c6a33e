import { table } from './render/table.ts'
import { lineText } from './render/terminal-text.ts'

/** `--json` of every command that answers something. */
export const jsonOption = { json: { type: 'boolean', help: 'Print JSON' } } as const

/** JSON in which what a terminal or a reader could be misled by is escaped: its own rules ask that of the first 32 characters alone. */
export const jsonText = (value: unknown, indent?: number): string =>
  JSON.stringify(value, null, indent).replace(
    /[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

export const printJson = (value: unknown): void => void process.stdout.write(`${jsonText(value, 2)}\n`)

/** A table of texts that may come from anybody; `none` where there are no rows. */
export function printTable(
  head: readonly string[],
  rows: readonly (readonly (string | undefined)[])[],
  none: string,
): void {
  const safe = rows.map((row) => row.map((cell) => lineText(cell ?? '')))
  process.stdout.write(rows.length === 0 ? `${none}\n` : table(head.map(lineText), safe))
}
