/** What one attempt may export in all, names and values. */
export const MAX_EXPORT_BYTES = 1024 * 1024

/** Variables an attempt exports; holds no more than the limit, and knows when more was asked of it. */
export class ExportedVars {
  readonly #values = new Map<string, string>()
  #bytes = 0
  tooLarge = false

  set(name: string, value: string): void {
    // An environment cannot hold NUL, and a later step gets this in its own.
    const clean = value.replaceAll('\0', '')
    const before = this.#values.get(name)
    const bytes = this.#bytes + sizeOf(name, clean) - (before === undefined ? 0 : sizeOf(name, before))
    if (bytes > MAX_EXPORT_BYTES) {
      this.tooLarge = true
      return
    }
    this.#bytes = bytes
    this.#values.set(name, clean)
  }

  setAll(values: Iterable<readonly [string, string]>): void {
    for (const [name, value] of values) this.set(name, value)
  }

  entries(): Iterable<[string, string]> {
    return this.#values.entries()
  }

  /** Undefined where there are none. */
  toRecord(): Record<string, string> | undefined {
    return this.#values.size === 0 ? undefined : Object.fromEntries(this.#values)
  }
}

const sizeOf = (name: string, value: string) => Buffer.byteLength(name) + Buffer.byteLength(value)
