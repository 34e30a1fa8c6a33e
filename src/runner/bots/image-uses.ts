import { readFileSync } from 'node:fs'
import { writeFileAtomic } from '../../platform/atomic-file.ts'

/** When an image was last made a bot of, by its id, in a file: an engine does not know. */
export class ImageUses {
  readonly #file: string

  constructor(file: string) {
    this.#file = file
  }

  used(imageId: string, atMs: number): void {
    this.#write({ ...this.all(), [imageId]: atMs })
  }

  forget(imageIds: readonly string[]): void {
    const left = Object.entries(this.all()).filter(([id]) => !imageIds.includes(id))
    this.#write(Object.fromEntries(left))
  }

  all(): Record<string, number> {
    try {
      return JSON.parse(readFileSync(this.#file, 'utf8')) as Record<string, number>
    } catch {
      return {}
    }
  }

  /** Without it images go by when they were built: no reason to fail a bot. */
  #write(uses: Record<string, number>): void {
    try {
      writeFileAtomic(this.#file, JSON.stringify(uses), { mode: 0o600, durable: false })
    } catch {
      // The disk is full, and the bot will say so.
    }
  }
}
