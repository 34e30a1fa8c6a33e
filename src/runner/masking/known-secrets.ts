import { createReadStream } from 'node:fs'
import { createMasker, type Masker, type NamedSecret } from './masker.ts'

/**
 * Finds secrets in what must not contain any when it leaves the machine, in all forms that output hides. It ignores
 * lines of a secret that ordinary files have too, such as `version: 1`: hiding them in output costs nothing, but they
 * are not a reason to refuse a file.
 */
export class KnownSecrets {
  readonly masker: Masker
  readonly #secrets: readonly NamedSecret[]

  constructor(secrets: readonly NamedSecret[]) {
    this.#secrets = secrets
    this.masker = createMasker(secrets, 'revealing')
  }

  /** Yields each secret alone, with its name: only after a match is it necessary to know which. */
  *each(): Generator<{ name: string; masker: Masker }> {
    for (const secret of this.#secrets)
      yield { name: secret.name, masker: createMasker([secret], 'revealing') }
  }

  /** Returns the names of the secrets in a file. */
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
