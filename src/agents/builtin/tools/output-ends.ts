/** Keeps the beginning and the end of what a command puts out, however much it is. */
export class OutputEnds {
  readonly #headBytes: number
  readonly #tailBytes: number
  readonly #head: Buffer[] = []
  #headLength = 0
  #tail: Buffer[] = []
  #tailLength = 0
  #dropped = 0

  constructor(headBytes: number, tailBytes: number) {
    this.#headBytes = headBytes
    this.#tailBytes = tailBytes
  }

  push(chunk: Buffer): void {
    const head = chunk.subarray(0, this.#headBytes - this.#headLength)
    if (head.length > 0) {
      this.#head.push(head)
      this.#headLength += head.length
    }
    const rest = chunk.subarray(head.length)
    if (rest.length === 0) return
    this.#tail.push(rest)
    this.#tailLength += rest.length
    if (this.#tailLength > this.#tailBytes * 2) this.#trim()
  }

  text(): string {
    if (this.#tailLength > this.#tailBytes) this.#trim()
    const [head, tail] = [Buffer.concat(this.#head), Buffer.concat(this.#tail)]
    // Only where something is missing between them may a character be broken.
    if (this.#dropped === 0) return Buffer.concat([head, tail]).toString()
    return `${head}\n… (${this.#dropped} bytes left out)\n${tail}`
  }

  #trim(): void {
    const tail = Buffer.concat(this.#tail)
    const kept = tail.subarray(Math.max(0, tail.length - this.#tailBytes))
    this.#dropped += tail.length - kept.length
    // A copy: a slice would hold the memory of all.
    this.#tail = [Buffer.from(kept)]
    this.#tailLength = kept.length
  }
}
