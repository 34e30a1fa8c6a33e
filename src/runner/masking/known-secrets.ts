import { createReadStream } from 'node:fs'
import { createMasker, type Masker, type NamedSecret } from './masker.ts'

/**
 * Secrets that nothing which leaves the machine may hold, in all the forms in which output hides them. A line of a secret that ordinary
 * files have too, such as `version: 1`, is hidden in output, which costs nothing, and no reason to refuse a file.
 */
export class KnownSecrets {
  readonly masker: Masker
  readonly #secrets: readonly NamedSecret[]

  constructor(secrets: readonly NamedSecret[]) {
    this.#secrets = secrets
    this.masker = createMasker(secrets, 'telling')
  }

  /** Each alone, with its name: only where one was found, it has to be known which. */
  *each(): Generator<{ name: string; masker: Masker }> {
    for (const secret of this.#secrets) yield { name: secret.name, masker: createMasker([secret], 'telling') }
  }

  /** The names of those that a file holds. */
  async inFile(path: string): Promise<string[]> {
    if (this.#secrets.length === 0 || !(await holds(path, this.masker))) return []
    const names: string[] = []
    for (const { name, masker } of this.each()) if (await holds(path, masker)) names.push(name)
    return names
  }
}

async function holds(path: string, masker: Masker): Promise<boolean> {
  const stream = masker.stream()
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    stream.push(chunk)
    if (stream.hidden) return true
  }
  stream.end()
  return stream.hidden
}
