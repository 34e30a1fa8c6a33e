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

/** The facts of an attempt that do not change, in `spec.json`. */
export const AttemptFacts = z.object({
  spec: AttemptSpec,
  epoch: z.number().int(),
  /** Value of the mark in its processes' environment. */
  key: z.string(),
  /** Whether its standard output is read for exports. */
  export_vars: z.boolean(),
  /** The folders' storage when it was begun; absent where an older version began it. */
  storage: z.string().optional(),
  /** The kind of driver that carries it out; absent: a process. */
  kind: z.enum(['agent', 'bot', 'platform']).optional(),
  /** Secrets are hidden in what it puts out; until its end they stand beside this. */
  masked: z.boolean().optional(),
  /** The scope that holds its processes to their limits; absent where an older version began it. */
  cage: ScopeFacts.optional(),
  /** The box that its processes run in; absent: none. */
  box: BoxFacts.optional(),
})
export type AttemptFacts = z.infer<typeof AttemptFacts>

/** Whether it goes on after a boot of its machine: its container does, but no process. */
export const outlivesBoot = ({ kind }: AttemptFacts): boolean => kind === 'bot'

export type Claim =
  | { type: 'none' }
  /** By a runner, in place of a wrapper that had not claimed yet and now never will. */
  | { type: 'runner' }
  | { type: 'wrapper'; pid: number; start: string; boot: string; atMs: number }
  /** A wrapper made it and has not written it, or could not. The command runs only after. */
  | { type: 'incomplete' }

/** The files of one attempt of a process. */
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
   * Throws where the folder is there already, and then leaves it as it is. What goes on after a boot of the machine is on
   * the disk when this returns, even if the power fails.
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
   * Undefined where it is missing or not whole: then nobody was told that this attempt is here. Throws where it
   * cannot be read.
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

  /** True: a wrapper that was started for this claim can never run its command. */
  takeClaim(number: number): boolean {
    // Written first and then linked, so that it is never there half.
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

  /** Undefined until the newline is written. `cpuMs`: of all processes that the wrapper has waited for. */
  exit(): { code: number; atMs: number; cpuMs?: number } | undefined {
    const text = readText(this.file('exit'))
    const match = /^(\d+) ?(.*)\n$/.exec(text ?? '')
    if (match === null) return undefined
    const atMs = statSync(this.file('exit')).mtimeMs
    return { code: Number(match[1]), atMs, cpuMs: parseStat(match[2]!)?.childrenCpuMs }
  }

  /** The cgroup that its command could not be put into, and so was not run. */
  unheld(): string | undefined {
    return readText(this.file('exit.unheld'))?.trim()
  }

  /** Its time was over while no runner was there, and the guard has ended it. */
  isOvertime(): boolean {
    return existsSync(this.file('overtime'))
  }

  /** By the guard, before it ends anything. Throws where the folder is gone. */
  noteOvertime(): void {
    writeFileSync(this.file('overtime'), '', { mode: 0o600 })
  }

  /**
   * After a failure of the power: takes the zeros off the end of its output. A file that was not synced may have its length
   * and not its bytes.
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
      let kept = read
      while (kept > 0 && bytes[kept - 1] === 0) kept--
      whole = kept === 0
      end = start + kept
    }
    if (end < size) ftruncateSync(descriptor, end)
  } finally {
    closeSync(descriptor)
  }
}

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
