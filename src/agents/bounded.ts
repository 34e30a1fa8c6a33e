import type { FileDiff } from '../contract/agent.ts'
import type * as z from 'zod'

const TEXT_BYTES = 16 * 1024
const DIFF_BYTES = 64 * 1024

/** The beginning of a text, with how much is missing. Never cuts a character. */
function beginning(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text)
  if (bytes.length <= maxBytes) return text
  const mark = (left: number) => `\n… ${left} more bytes`
  let end = maxBytes - mark(bytes.length).length - 2
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end) + mark(bytes.length - end)
}

/** A tool's result, as the contract bounds it. */
export const boundedText = (text: string): string => beginning(text, TEXT_BYTES)

/** A tool's arguments as JSON text, as the contract bounds it. */
export const boundedInput = (input: unknown): string => beginning(JSON.stringify(input) ?? 'null', TEXT_BYTES)

export function boundedDiff(diff: z.infer<typeof FileDiff>): z.infer<typeof FileDiff> {
  const { path, ...texts } = diff
  return {
    path,
    ...Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, beginning(text, DIFF_BYTES)])),
  }
}
