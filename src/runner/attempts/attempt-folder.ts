import { randomBytes, randomUUID } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import * as z from 'zod'
import { AttemptSpec, StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { removeTree, syncTree, writeFileAtomic } from '../../platform/files.ts'
import { bootId, parseStat } from '../../platform/proc.ts'
import { ScopeFacts } from '../limits/scope-facts.ts'
import { BoxFacts } from '../sandbox/boxes.ts'
import type { AttemptSecrets } from '../secrets/attempt-secrets.ts'

/** Facts of an attempt that never change; stored in `spec.json`. */
export const AttemptFacts = z.object({
  spec: AttemptSpec,
  epoch: z.number().int(),
  /** Value of the mark in the environment of its processes. */
  key: z.string(),
  /** Tells whether its standard output is read for exports. */
  export_vars: z.boolean(),
  /** Storage id of the folders when the attempt began; absent if an older version began it. */
  storage: z.string().optional(),
  /** Kind of driver that runs it; absent for a process. */
  kind: z.enum(['agent', 'bot', 'platform']).optional(),
  /** Set if secrets are hidden in its output; until its end, they are stored beside this file. */
  masked: z.boolean().optional(),
  /** Scope that holds its processes to their limits; absent if an older version began it. */
  cage: ScopeFacts.optional(),
  /** Box that its processes run in; absent if there is none. */
  box: BoxFacts.optional(),
})
export type AttemptFacts = z.infer<typeof AttemptFacts>

/** Reports whether the attempt survives a boot of its machine: a container does, a process does not. */
export const outlivesBoot = ({ kind }: AttemptFacts): boolean => kind === 'bot'

export type Claim =
  | { type: 'none' }
  /** Claimed by a runner, in place of a wrapper that had not claimed yet and now never can. */
  | { type: 'runner' }
  | { type: 'wrapper'; pid: number; start: string; boot: string; atMs: number }
  /** Created by a wrapper that has not written it yet, or could not. The command runs only after that write. */
  | { type: 'incomplete' }

/** Manages the files of one attempt of a process. */
export class AttemptFolder {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  file(
    name:
      | StreamName
      | `${StreamName}.masked`
      | 'reports'
      | 'exit'
      | 'order'
      | 'order.masked'
      | 'exit.unheld'
      | 'overtime'
      | 'script'
      | 'bot'
      | 'log-cursor'
      | `claim.${number}`,
  ): string {
    return join(this.path, name)
  }

  /**
   * Creates the folder; throws if it exists, and then leaves it unchanged. Data of an attempt that survives a boot is
   * on the disk when this returns, even if the power fails.
   */
  create(facts: AttemptFacts, secrets?: AttemptSecrets): void {
    mkdirSync(this.path, { mode: 0o700 })
    try {
      secrets?.keep()
      writeFileSync(join(this.path, 'spec.json'), JSON.stringify(facts), { mode: 0o600 })
      if (outlivesBoot(facts)) syncTree(this.path)
    } catch (error) {
      rmSync(this.path, { recursive: true, force: true })
      throw error
    }
  }

  /**
   * Reads the facts; undefined if the file is missing or incomplete: then nobody knows of this attempt yet. Throws if
   * it cannot be read.
   */
  facts(): AttemptFacts | undefined {
    const text = readText(join(this.path, 'spec.json'))
    if (text === undefined) return undefined
    try {
      return AttemptFacts.parse(JSON.parse(text))
    } catch {
      return undefined
    }
  }

  claim(number: number): Claim {
    const file = this.file(`claim.${number}`)
    const text = readText(file)
    if (text === undefined) return { type: 'none' }
    const [first, stat, boot, rest] = text.split('\n')
    if (first === 'runner') return { type: 'runner' }
    if (rest === undefined) return { type: 'incomplete' }
    const start = parseStat(stat!)?.start ?? ''
    return { type: 'wrapper', pid: Number(first), start, boot: boot!, atMs: statSync(file).mtimeMs }
  }

  /** Takes the claim. True means that a wrapper started for this claim can never run its command. */
  takeClaim(number: number): boolean {
    // Written first and then linked, so that a partial file never appears under this name.
    const draft = join(this.path, `draft-${randomBytes(6).toString('hex')}`)
    writeFileSync(draft, 'runner\n')
    try {
      linkSync(draft, this.file(`claim.${number}`))
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw error
    } finally {
      unlinkSync(draft)
    }
  }

  /**
   * Reads the exit; undefined until its newline is written. `cpuMs` covers all processes that the wrapper has waited
   * for.
   */
  exit(): { code: number; atMs: number; cpuMs?: number } | undefined {
    const text = readText(this.file('exit'))
    const match = /^(\d+) ?(.*)\n$/.exec(text ?? '')
    if (match === null) return undefined
    const atMs = statSync(this.file('exit')).mtimeMs
    return { code: Number(match[1]), atMs, cpuMs: parseStat(match[2]!)?.childrenCpuMs }
  }

  /** Returns the cgroup that the command could not enter; it did not run for that reason. */
  unheld(): string | undefined {
    return readText(this.file('exit.unheld'))?.trim()
  }

  /** Reports whether the time ran out while no runner was there, so that the guard ended the attempt. */
  isOvertime(): boolean {
    return existsSync(this.file('overtime'))
  }

  /** Records the timeout; called by the guard before it ends anything. Throws if the folder is gone. */
  noteOvertime(): void {
    writeFileSync(this.file('overtime'), '', { mode: 0o600 })
  }

  /**
   * Cuts trailing zeros off the output after a power failure: a file that was not synced may have its length without
   * its bytes.
   */
  cutZeros(): void {
    for (const stream of StreamName.options) cutZeros(this.file(stream))
  }

  async remove(): Promise<void> {
    await removeTree(this.path)
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}

const LOOK_BYTES = 64 * 1024

function cutZeros(file: string): void {
  let descriptor: number
  try {
    descriptor = openSync(file, 'r+')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  try {
    const { size } = fstatSync(descriptor)
    const bytes = Buffer.alloc(LOOK_BYTES)
    let end = size
    for (let whole = true; whole && end > 0; ) {
      const start = Math.max(0, end - LOOK_BYTES)
      const read = readSync(descriptor, bytes, 0, end - start, start)
      let remaining = read
      while (remaining > 0 && bytes[remaining - 1] === 0) remaining--
      whole = remaining === 0
      end = start + remaining
    }
    if (end < size) ftruncateSync(descriptor, end)
  } finally {
    closeSync(descriptor)
  }
}

/** Manages the folder that holds the attempts' folders; only one process may use it at a time. */
export class AttemptFolders {
  /** Identifies the storage: while it is unchanged, no data written here was lost. */
  readonly storageId: string
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = resolve(dir)
    mkdirSync(this.#dir, { recursive: true, mode: 0o700 })
    this.storageId = storageIdOf(this.#dir)
  }

  /** Returns the attempt folders that exist. */
  all(): AttemptFolder[] {
    return readdirSync(this.#dir).map((name) => new AttemptFolder(join(this.#dir, name)))
  }

  /**
   * Returns the folder of an attempt, whether it exists or not. Throws for an id that might lead outside this folder.
   */
  of(spec: AttemptSpec): AttemptFolder {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,150}$/.test(spec.attempt_id))
      throw new ErrandError('invalid_argument', `"${spec.attempt_id}" is not a valid attempt id.`)
    return new AttemptFolder(join(this.#dir, spec.attempt_id))
  }
}

/**
 * Reads the storage id, which is stored beside the folder. It changes with each boot of the machine, which may have
 * lost the latest writes, and with each recreation of the folder. If the boot cannot be identified, every process gets
 * its own id.
 */
function storageIdOf(dir: string): string {
  const file = storageFile(dir)
  const boot = bootId()
  const { ino, birthtimeMs } = statSync(dir)
  const place = `${boot} ${ino} ${birthtimeMs}`
  const [id, placeThen] = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
  if (id && boot !== '' && placeThen === place) return id
  const another = randomUUID()
  // Whatever a power failure leaves of this file, the boot after it has another id.
  writeFileAtomic(file, `${another}\n${place}\n`, { mode: 0o600, durable: false })
  return another
}

const storageFile = (dir: string): string => `${dir}.storage`

/** Removes a folder of attempt folders and its storage file; does nothing if they do not exist. */
export function removeAttemptFolders(dir: string): void {
  for (const path of [dir, storageFile(dir)]) rmSync(path, { recursive: true, force: true })
}

export const unwritable = ({ path }: AttemptFolder, cause: unknown) =>
  new ErrandError('disk_full', `${path} could not be written: ${(cause as Error).message}.`, { cause })

/** Reports whether the error means that no file can be opened at the moment. */
export const noDescriptors = (error: unknown): boolean =>
  ['EMFILE', 'ENFILE'].includes((error as NodeJS.ErrnoException).code ?? '')
