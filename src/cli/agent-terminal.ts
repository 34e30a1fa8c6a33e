import { createInterface } from 'node:readline'
import { CLEAR_LINE } from './render/terminal-text.ts'

/**
 * A line from the person at the terminal; undefined at the end of input, and where the signal aborts. `opened` is given what writes
 * the question again, with what was typed by then.
 */
export function askLine(
  question: string,
  signal?: AbortSignal,
  opened?: (again: () => void) => void,
): Promise<string | undefined> {
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
    opened?.(() => {
      if (!ended) terminal.prompt(true)
    })
  })
}

/** Questions to the person at the terminal that are answered with yes or no, one after another. */
export class YesNoQuestions {
  #last: Promise<unknown> = Promise.resolve()
  #open = 0
  #again: (() => void) | undefined

  /** The terminal is taken: what is typed belongs to a question. */
  get isAsking(): boolean {
    return this.#open > 0
  }

  /** Writes by `write` above the question that is open, if one is. */
  async above(text: string, write: (text: string) => Promise<void>): Promise<void> {
    if (text === '' || this.#again === undefined) return await write(text)
    await write(CLEAR_LINE + text)
    this.#again?.()
  }

  /** No is the default; what is neither is asked again. Undefined at the end of input, and where the signal aborts. */
  ask(question: string, signal: AbortSignal): Promise<boolean | undefined> {
    this.#open++
    const answer = this.#last.then(() => this.#ask(question, signal))
    this.#last = answer.finally(() => this.#open--)
    return answer
  }

  async #ask(question: string, signal: AbortSignal): Promise<boolean | undefined> {
    for (
      let asked = `${question} [y/N] `;
      ;
      asked = `Answer yes or no (no is the default). ${question} [y/N] `
    ) {
      const line = await askLine(asked, signal, (again) => {
        this.#again = again
      })
      this.#again = undefined
      if (line === undefined) return undefined
      if (/^\s*y(es)?\s*$/i.test(line)) return true
      if (/^\s*(no?)?\s*$/i.test(line)) return false
    }
  }
}
