import type { ProcessOutput } from '../attempts/process-output.ts'

const MOST_BYTES = 2 * 1024
const MOST_LINES = 20

/** The last of what it has said, for its end's message: of its standard error, or where it said nothing there, of its output. */
export async function lastLines(output: ProcessOutput): Promise<string | undefined> {
  for (const stream of ['stderr', 'stdout'] as const) {
    const length = output.length(stream)
    const from = Math.max(0, length - MOST_BYTES)
    const lines = (await output.read(stream, from, MOST_BYTES)).toString('utf8').trimEnd().split('\n')
    // The first one is only its end.
    if (from > 0 && lines.length > 1) lines.shift()
    const text = lines.slice(-MOST_LINES).join('\n')
    if (text.trim() !== '') return `Its last lines:\n${text}`
  }
  return undefined
}
