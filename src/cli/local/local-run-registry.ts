import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { randomText } from '../../contract/ids.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import { type Holder, isHolding, thisProcess } from '../../platform/pid-lock.ts'
import { errandHome } from './errand-home.ts'

/**
 * Describes the work of a command that runs steps on this machine. If the command is killed, the next one cleans up by
 * this record.
 */
export interface LocalRecord extends Holder {
  /** Key that is in the mark of each of its processes and in the name of each temporary folder. */
  key: string
  tmp: string
  /** Runs whose agent sessions it conducts. */
  runs: string[]
  /** True if the runs can be resumed: their folders stay. */
  kept: boolean
}

const WRITE_TRIES = 5

const folder = (): string => join(errandHome(), 'local', 'live')

/** Keeps the record of this process, for as long as it works. */
export class OwnRecord {
  readonly #record: LocalRecord
  readonly #file: string

  /** Writes the record. `runs`: the runs that the command resumes. */
  constructor({ runs, kept }: Pick<LocalRecord, 'runs' | 'kept'>) {
    const key = randomText(26)
    this.#record = { ...thisProcess(), key, tmp: tmpdir(), runs, kept }
    this.#file = join(folder(), key)
    this.#write()
  }

  get key(): string {
    return this.#record.key
  }

  add(runId: string): void {
    if (this.#record.runs.includes(runId)) return
    this.#record.runs.push(runId)
    this.#write()
  }

  /** Removes the record and empty folders. May be called twice. */
  close(): void {
    try {
      rmSync(this.#file, { force: true })
      for (const path of [folder(), dirname(folder()), errandHome()]) rmdirSync(path)
    } catch {
      // The folder is not empty, is gone, or never existed.
    }
  }

  /** Writes the record. Without a writable home the command runs anyway, but nothing cleans up after it. */
  #write(): void {
    for (let tries = 0; tries < WRITE_TRIES; tries++)
      try {
        mkdirSync(folder(), { recursive: true, mode: 0o700 })
        writeFileAtomic(this.#file, JSON.stringify(this.#record), { mode: 0o600, durable: false })
        return
      } catch (error) {
        // Another command may just have removed the empty folder.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return
      }
  }
}

/** Ends what killed commands of this user left running, and removes their files. Never rejects. */
export async function sweepKilled(): Promise<void> {
  const records = all()
  const dead = records.filter((record) => !isHolding(record))
  if (dead.length === 0) return
  const taken = new Set(records.flatMap((record) => (dead.includes(record) ? [] : record.runs)))
  const { sweepCommand } = await import('./killed-commands.ts')
  await Promise.all(
    dead.map(async (record) => {
      // The next command tries again if this fails.
      const gone = await sweepCommand(record, taken).catch(() => false)
      if (gone) rmSync(join(folder(), record.key), { force: true })
    }),
  )
}

function all(): LocalRecord[] {
  try {
    return readdirSync(folder()).flatMap((name) => read(join(folder(), name)))
  } catch {
    return []
  }
}

/** Reads a record; returns none if it has gone in the meantime. */
function read(file: string): LocalRecord[] {
  try {
    return [JSON.parse(readFileSync(file, 'utf8')) as LocalRecord]
  } catch {
    return []
  }
}
