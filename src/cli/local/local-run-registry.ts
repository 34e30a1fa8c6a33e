import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { randomText } from '../../contract/ids.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import { type Holder, isHolding, thisProcess } from '../../platform/pid-lock.ts'
import { errandHome } from './errand-home.ts'

/**
 * The work that a command which runs steps here has under way, for the next one to tidy up where the command
 * is killed.
 */
export interface LocalRecord extends Holder {
  /** In the mark of each process of its own, and in the name of each temporary folder. */
  key: string
  tmp: string
  /** Runs whose sessions with agents it has. */
  runs: string[]
  /** They can be taken up again: their folders stay. */
  kept: boolean
}

const WRITE_TRIES = 5

const folder = (): string => join(errandHome(), 'local', 'live')

/** Stands as long as this process is at it. */
export class OwnRecord {
  readonly #record: LocalRecord
  readonly #file: string

  /** `runs`: those that it takes up. */
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

  /** Leaves no empty folder. May be called twice. */
  close(): void {
    try {
      rmSync(this.#file, { force: true })
      for (const path of [folder(), dirname(folder()), errandHome()]) rmdirSync(path)
    } catch {
      // It is not empty, has gone, or never was there.
    }
  }

  /** Without a home that can be written to it runs all the same, and nobody tidies up after it. */
  #write(): void {
    for (let tries = 0; tries < WRITE_TRIES; tries++)
      try {
        mkdirSync(folder(), { recursive: true, mode: 0o700 })
        writeFileAtomic(this.#file, JSON.stringify(this.#record), { mode: 0o600, durable: false })
        return
      } catch (error) {
        // Another one may just have removed the folder as an empty one.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return
      }
  }
}

/** Ends what commands of this user left running that were killed, and removes what they left. Never rejects. */
export async function sweepKilled(): Promise<void> {
  const records = all()
  const dead = records.filter((record) => !isHolding(record))
  if (dead.length === 0) return
  const taken = new Set(records.flatMap((record) => (dead.includes(record) ? [] : record.runs)))
  const { sweepCommand } = await import('./killed-commands.ts')
  await Promise.all(
    dead.map(async (record) => {
      // What could not be done now may be by the next.
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

/** None where it has gone meanwhile. */
function read(file: string): LocalRecord[] {
  try {
    return [JSON.parse(readFileSync(file, 'utf8')) as LocalRecord]
  } catch {
    return []
  }
}
