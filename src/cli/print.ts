import { table } from './render/table.ts'
import { lineText } from './render/terminal-text.ts'

/** The option `--json` of every command that prints data. */
export const jsonOption = { json: { type: 'boolean', help: 'Print JSON' } } as const

/** Formats JSON and escapes what could mislead a terminal or reader; JSON itself escapes only 32 control characters. */
export const jsonText = (value: unknown, indent?: number): string =>
  JSON.stringify(value, null, indent).replace(
    /[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )

export const printJson = (value: unknown): void => void process.stdout.write(`${jsonText(value, 2)}\n`)

/** Prints a table of texts that need not be trusted, or `none` if there are no rows. */
export function printTable(
  head: readonly string[],
  rows: readonly (readonly (string | undefined)[])[],
  none: string,
): void {
  const safe = rows.map((row) => row.map((cell) => lineText(cell ?? '')))
  process.stdout.write(rows.length === 0 ? `${none}\n` : table(head.map(lineText), safe))
}
