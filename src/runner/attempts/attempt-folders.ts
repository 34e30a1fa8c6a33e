import { mkdirSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { AttemptFolder } from './attempt-folder.ts'

/** The folder of the attempts' folders; one process at a time. */
export class AttemptFolders {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = resolve(dir)
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 })
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

export const unwritable = ({ path }: AttemptFolder, cause: unknown) =>
  new ErrandError('disk_full', `${path} could not be written: ${(cause as Error).message}.`, { cause })

/** Nothing can be told of any file just now. */
export const noDescriptors = (error: unknown): boolean =>
  ['EMFILE', 'ENFILE'].includes((error as NodeJS.ErrnoException).code ?? '')
