import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomic } from '../../../platform/files.ts'
import type { DockerEngine } from '../../docker/docker-engine.ts'

interface Note {
  name: string
  /** Image that it meant then; unknown during the pull. */
  id?: string
  used_at: number
}

/**
 * Records names of images that are at the engine because bots requested them, with the time of their last use: a pulled
 * image cannot get a label. A name that existed before, or that somebody has given to another image since, does not
 * count.
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
    return note !== undefined && (await this.#isCurrent(note))
  }

  /** Returns the id of the image with the name, if it still is the one that got it. */
  async idOf(name: string): Promise<string | undefined> {
    const note = await readNote(this.#file(name))
    return note !== undefined && (await this.#isCurrent(note)) ? note.id : undefined
  }

  /** Records a name: before it appears at the engine, again with its id once it is there, and at each use. */
  async note(name: string, id?: string): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    const note: Note = { name, id, used_at: Date.now() }
    writeFileAtomic(this.#file(name), JSON.stringify(note))
  }

  async forget(name: string): Promise<void> {
    await rm(this.#file(name), { force: true })
  }

  /**
   * Removes names that were unused for this long from the engine; an image with a container stays. Returns the removed
   * names.
   */
  async sweep(unusedMs: number, now: number): Promise<string[]> {
    const removed: string[] = []
    for (const each of await readdir(this.#dir).catch(() => [])) {
      const file = join(this.#dir, each)
      const note = await readNote(file)
      if (note === undefined || now - note.used_at <= unusedMs) continue
      const isCurrent = await this.#isCurrent(note)
      if (isCurrent && !(await this.#engine.removeImage(note.name))) continue
      await rm(file, { force: true })
      if (isCurrent) removed.push(note.name)
    }
    return removed
  }

  async #isCurrent({ name, id }: Note): Promise<boolean> {
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
