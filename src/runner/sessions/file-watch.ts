import { type FSWatcher, watch } from 'node:fs'

/**
 * Tells at once that a file has changed, where the system can say so. Only a hint: it may miss changes, and on some
 * file systems all of them, so whoever uses it also looks now and then.
 */
export class FileWatch {
  #watcher: FSWatcher | undefined

  constructor(path: string, onChange: () => void) {
    try {
      this.#watcher = watch(path, { persistent: false }, onChange)
      this.#watcher.on('error', () => this.close())
    } catch {
      // The system watches no more files: looking now and then is slower, and enough.
    }
  }

  /** May be called twice. */
  close(): void {
    this.#watcher?.close()
    this.#watcher = undefined
  }
}
