import { table } from './render/table.ts'
import { lineText } from './render/terminal-text.ts'

/** `--json` of every command that answers something. */
export const jsonOption = { json: { type: 'boolean', help: 'Print JSON' } } as const

export const printJson = (value: unknown): void =>
  void process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)

/** A table of texts that may come from anybody; `none` where there are no rows. */
export function printTable(
  head: readonly string[],
  rows: readonly (readonly (string | undefined)[])[],
  none: string,
): void {
  const safe = rows.map((row) => row.map((cell) => lineText(cell ?? '')))
  process.stdout.write(rows.length === 0 ? `${none}\n` : table(head, safe))
}
