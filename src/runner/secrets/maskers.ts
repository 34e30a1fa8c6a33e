import { createHash } from 'node:crypto'
import { createMasker, type Masker, type NamedSecret } from '../masking/masker.ts'

/** Maskers of this machine: attempts with the same secrets share one, for the patterns of a secret take memory. */
export class Maskers {
  readonly #known = new Map<string, WeakRef<Masker>>()

  /** Undefined where there is nothing to hide. */
  of(secrets: readonly NamedSecret[]): Masker | undefined {
    if (secrets.length === 0) return undefined
    const key = createHash('sha256').update(JSON.stringify(secrets)).digest('base64')
    const known = this.#known.get(key)?.deref()
    if (known) return known
    for (const [old, ref] of this.#known) if (!ref.deref()) this.#known.delete(old)
    const masker = createMasker(secrets)
    this.#known.set(key, new WeakRef(masker))
    return masker
  }
}
