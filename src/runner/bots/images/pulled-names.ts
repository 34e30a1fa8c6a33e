import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomic } from '../../../platform/files.ts'
import type { DockerEngine } from '../../docker/docker-engine.ts'

interface Note {
  name: string
  /** The image that it meant then; unknown while it is being pulled. */
  id?: string
  used_at: number
}

/**
 * Names of images that are on the engine because bots asked for them, with the time of their last use: no label can be
 * put on what is pulled. A name that was there before, or that somebody has given to another image since, is not one.
 */
export class PulledNames {
  readonly #dir: string
  readonly #engine: DockerEngine

  constructor(stateDir: string, engine: DockerEngine) {
    this.#dir = join(stateDir, 'pulled')
    this.#engine = engine
  }

  async has(name: string): Promise<boolean> {
    const note = await readNote(this.#file(name))
    return note !== undefined && (await this.#stands(note))
  }

  /** Of the image that has the name, where that is the one that it was given to. */
  async idOf(name: string): Promise<string | undefined> {
    const note = await readNote(this.#file(name))
    return note !== undefined && (await this.#stands(note)) ? note.id : undefined
  }

  /** Before the name appears on the engine; and with its id once it is there, and whenever it is used. */
  async note(name: string, id?: string): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    const note: Note = { name, id, used_at: Date.now() }
    writeFileAtomic(this.#file(name), JSON.stringify(note))
  }

  async forget(name: string): Promise<void> {
    await rm(this.#file(name), { force: true })
  }

  /** Takes those off the engine that were not used for so long; one that a container is made of stays. Answers what is gone. */
  async sweep(unusedMs: number, now: number): Promise<string[]> {
    const removed: string[] = []
    for (const each of await readdir(this.#dir).catch(() => [])) {
      const file = join(this.#dir, each)
      const note = await readNote(file)
      if (note === undefined || now - note.used_at <= unusedMs) continue
      const stands = await this.#stands(note)
      if (stands && !(await this.#engine.removeImage(note.name))) continue
      await rm(file, { force: true })
      if (stands) removed.push(note.name)
    }
    return removed
  }

  async #stands({ name, id }: Note): Promise<boolean> {
    return id === undefined || (await this.#engine.image(name))?.id === id
  }

  #file(name: string): string {
    return join(this.#dir, `${createHash('sha256').update(name).digest('hex')}.json`)
  }
}

async function readNote(file: string): Promise<Note | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as Note
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
