import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { writeFileAtomic } from '../../platform/atomic-file.ts'
import { bootId } from '../../platform/process-tree.ts'
import { AttemptFolder } from './attempt-folder.ts'

/** The folder of the attempts' folders; one process at a time. */
export class AttemptFolders {
  /** While it is the same, nothing that was written here is lost. */
  readonly storageId: string
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = resolve(dir)
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 })
    this.storageId = storageIdOf(this.#dir)
  }

  /** Those that are there. */
  all(): AttemptFolder[] {
    return readdirSync(this.#dir).map((name) => new AttemptFolder(join(this.#dir, name)))
  }

  /** The attempt's, there or not. Throws for an id that might lead out of here. */
  of(spec: AttemptSpec): AttemptFolder {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,150}$/.test(spec.attempt_id))
      throw new ErrandError('invalid_argument', `"${spec.attempt_id}" is no attempt id.`)
    return new AttemptFolder(join(this.#dir, spec.attempt_id))
  }
}

/**
 * The id that stands beside the folder, made anew after each boot of the machine, which may have lost what was written last
 * before it, and with each folder that was made anew. Where the boot cannot be told, each process has another.
 */
function storageIdOf(dir: string): string {
  const file = storageFile(dir)
  const boot = bootId()
  const { ino, birthtimeMs } = statSync(dir)
  const place = `${boot} ${ino} ${birthtimeMs}`
  const [id, placeThen] = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
  if (id && boot !== '' && placeThen === place) return id
  const another = randomUUID()
  // Whatever a loss of power leaves of this file, the boot after it is another one.
  writeFileAtomic(file, `${another}\n${place}\n`, { mode: 0o600, durable: false })
  return another
}

const storageFile = (dir: string): string => `${dir}.storage`

/** Removes a folder of attempts' folders with what stands beside it; nothing where it is not there. */
export function removeAttemptFolders(dir: string): void {
  for (const path of [dir, storageFile(dir)]) rmSync(path, { recursive: true, force: true })
}

export const unwritable = ({ path }: AttemptFolder, cause: unknown) =>
  new ErrandError('disk_full', `${path} could not be written: ${(cause as Error).message}.`, { cause })

/** Nothing can be told of any file just now. */
export const noDescriptors = (error: unknown): boolean =>
  ['EMFILE', 'ENFILE'].includes((error as NodeJS.ErrnoException).code ?? '')
