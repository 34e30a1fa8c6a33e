import { createInterface } from 'node:readline'

/** A line from the person at the terminal; undefined at the end of input, and where the signal aborts. */
export function askLine(question: string, signal?: AbortSignal): Promise<string | undefined> {
  if (signal?.aborted) return Promise.resolve(undefined)
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  return new Promise((resolve) => {
    let ended = false
    const end = (line: string | undefined): void => {
      // Closing fails where the terminal is gone, and says so by ending it once more.
      if (ended) return
      ended = true
      signal?.removeEventListener('abort', stop)
      resolve(line)
      terminal.close()
    }
    const stop = (): void => {
      process.stdout.write('\n')
      end(undefined)
    }
    signal?.addEventListener('abort', stop)
    // While a line is read, Ctrl-C comes here and not as a signal.
    terminal.on('SIGINT', () => process.emit('SIGINT'))
    // The terminal has gone away; a signal tells of that too.
    terminal.on('error', () => end(undefined))
    terminal.once('close', () => end(undefined))
    terminal.question(question, (line) => end(line))
  })
}
