import { closeSync, openSync, readSync } from 'node:fs'
import { StringDecoder } from 'node:string_decoder'

const POLL_MS = 100
const CHUNK_BYTES = 64 * 1024
/** Limit for chunks read at once, so that others get their turn. */
const MAX_CHUNKS = 16

/** Passes on the output of a program that writes into its own file, as it grows. */
export class FollowedOutput {
  readonly #fd: number
  readonly #pass: (text: string) => void
  readonly #decoder = new StringDecoder('utf8')
  readonly #buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  readonly #timer: NodeJS.Timeout
  #offset = 0

  /** Opens the file, and creates it if it does not exist. */
  constructor(path: string, pass: (text: string) => void) {
    this.#fd = openSync(path, 'a+', 0o600)
    this.#pass = pass
    this.#timer = setInterval(() => this.#more(MAX_CHUNKS), POLL_MS)
  }

  /** Passes on the rest; call it when the program has ended. */
  end(): void {
    clearInterval(this.#timer)
    this.#more(Number.POSITIVE_INFINITY)
    closeSync(this.#fd)
    const rest = this.#decoder.end()
    if (rest !== '') this.#pass(rest)
  }

  #more(maxChunks: number): void {
    for (let count = 0; count < maxChunks; count++) {
      const bytes = readSync(this.#fd, this.#buffer, 0, CHUNK_BYTES, this.#offset)
      if (bytes === 0) return
      this.#offset += bytes
      const text = this.#decoder.write(this.#buffer.subarray(0, bytes))
      if (text !== '') this.#pass(text)
    }
  }
}
