const BLOCK_BYTES = 512
const TYPE_AT = 156
const SIZE_AT = 124
const MAGIC_AT = 257
const MAGIC = Buffer.from('ustar')

/** Most bytes of a header that changes the entry after it (x, L, K), or all entries (g), by its type. */
const maxBytes: Readonly<Record<string, number>> = { x: 64 * 1024, L: 4096, K: 4096, N: 4096, g: 4096 }

/**
 * Finds headers that cost more than what they stand for: a reader merges each global one into every entry. Looks at all
 * blocks, so that no lie about a size hides one.
 */
export class TarHeaderGuard {
  readonly #maxHeaders: number
  #part: Buffer = Buffer.alloc(0)
  #headers = 0

  constructor(maxHeaders: number) {
    this.#maxHeaders = maxHeaders
  }

  /** Returns what is wrong, in words that follow a name. */
  push(chunk: Buffer): string | undefined {
    const bytes = this.#part.length === 0 ? chunk : Buffer.concat([this.#part, chunk])
    const whole = bytes.length - (bytes.length % BLOCK_BYTES)
    this.#part = bytes.subarray(whole)
    for (let at = 0; at < whole; at += BLOCK_BYTES) {
      const most = maxBytes[String.fromCharCode(bytes[at + TYPE_AT]!)]
      if (most === undefined || MAGIC.compare(bytes, at + MAGIC_AT, at + MAGIC_AT + MAGIC.length) !== 0)
        continue
      if (!(sizeOf(bytes, at) <= most)) return 'holds a header that is too large'
      if (++this.#headers > this.#maxHeaders) return 'holds too many headers'
    }
    return undefined
  }
}

/** NaN for what is not octal: a size that needs more is too large here. */
function sizeOf(bytes: Buffer, at: number): number {
  if (bytes[at + SIZE_AT]! >= 0x80) return Number.NaN
  const text = bytes.toString('latin1', at + SIZE_AT, at + SIZE_AT + 12)
  return Number.parseInt(text.replace(/^[ \0]+/, '') || '0', 8)
}
