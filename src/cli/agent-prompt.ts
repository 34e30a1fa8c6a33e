import { UsageError } from './command.ts'

/** The prompt: as given, from standard input (`-`, or where nothing is given and something comes), or asked for. */
export async function readPrompt(given: string | undefined, interactive: boolean): Promise<string> {
  if (given !== undefined && given !== '-') {
    if (given.trim() === '') throw new UsageError('the prompt is empty', 'say what is to be done')
    return given
  }
  if (given === undefined && process.stdin.isTTY) {
    if (!interactive) throw new UsageError('no prompt is given', 'say what is to be done: errand agent "..."')
    const { askLine } = await import('./agent-terminal.ts')
    const line = await askLine('> ')
    if (line === undefined || line.trim() === '') throw new UsageError('no prompt is given')
    return line
  }
  let text = ''
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk
  if (text.trim() === '') throw new UsageError('no prompt came on standard input')
  return text
}
