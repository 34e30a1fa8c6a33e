import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

const NEWLINE = Buffer.from('\n')

/** Everything that is sent to a program, in a file: what a repeated conversation sends again is compared, not sent. */
export class InputFile {
  readonly #path: string
  #fd: number | undefined
  #before: Buffer
  #position = 0

  /** Created where it is not there. */
  constructor(path: string) {
    this.#path = path
    this.#fd = openSync(path, 'a', 0o600)
    this.#before = readFileSync(path)
  }

  /** Throws where it cannot be written, and where something else was sent here before. */
  send(line: string): void {
    const bytes = Buffer.concat([Buffer.from(line), NEWLINE])
    const there = this.#before.subarray(this.#position, this.#position + bytes.length)
    if (!there.equals(bytes.subarray(0, there.length)))
      throw new Error(
        `${this.#path} holds something else at ${this.#position}: another version of Errand began it`,
      )
    this.#position += bytes.length
    // Where the file ended within a line, its rest follows.
    const rest = bytes.subarray(there.length)
    for (let at = 0; at < rest.length; ) at += writeSync(this.#open(), rest, at)
    if (this.#position >= this.#before.length) this.#before = Buffer.alloc(0)
  }

  /** May be called twice. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  #open(): number {
    if (this.#fd === undefined) throw new Error(`${this.#path} is closed`)
    return this.#fd
  }
}
