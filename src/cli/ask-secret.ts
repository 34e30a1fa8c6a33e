import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { UsageError } from './command.ts'

/** Reads a line that is not shown: from the terminal, or from standard input where `fromStdin`. */
export async function askSecret(
  what: string,
  fromStdin: boolean,
  stdinOption = '--password-stdin',
): Promise<string> {
  if (!fromStdin && !process.stdin.isTTY) {
    throw new UsageError(
      `"${what}" cannot be asked for: there is no terminal`,
      `give it on standard input with ${stdinOption}`,
    )
  }
  if (fromStdin) {
    let text = ''
    for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk
    return text.replace(/\r?\n$/, '')
  }
  process.stderr.write(`${what}: `)
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true })
  try {
    const interrupted = new AbortController()
    terminal.once('SIGINT', () => interrupted.abort(nothing(stdinOption)))
    return await terminal.question('', { signal: interrupted.signal })
  } catch (error) {
    throw error instanceof Error && error.name === 'AbortError' ? nothing(stdinOption) : error
  } finally {
    terminal.close()
    process.stderr.write('\n')
  }
}

const nothing = (stdinOption: string): UsageError =>
  new UsageError('nothing was entered', `type it, or give it on standard input with ${stdinOption}`)
