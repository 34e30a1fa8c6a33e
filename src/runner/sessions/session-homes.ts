import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { removeTree, writeFileAtomic } from '../../platform/files.ts'

/** Milliseconds that a session can be resumed after its last use. */
const RETENTION_MS = 7 * 24 * 3_600_000

/** Manages a private folder for each session with an agent, found again by the agent's own session id. */
export class SessionHomes {
  readonly #root: string

  constructor(root: string) {
    this.#root = resolve(root)
  }

  /** Returns the folder of the session with that id, or a new one for the attempt. */
  take(agent: string, sessionId: string | undefined, attemptId: string): string {
    const known = sessionId === undefined ? undefined : this.#known(agent, sessionId)
    const home = join(this.#root, 'homes', known ?? attemptId)
    mkdirSync(home, { recursive: true, mode: 0o700 })
    used(home)
    return home
  }

  /**
   * Records that the session with that id is in that folder, and in use. The id is the agent's claim: an id that
   * belongs to another folder keeps that folder, otherwise whoever resumes that session would end up in this one.
   */
  keep(agent: string, sessionId: string, home: string): void {
    const known = this.#known(agent, sessionId) ?? basename(home)
    if (known !== basename(home) && existsSync(join(this.#root, 'homes', known))) return
    const file = this.#index(agent, sessionId)
    mkdirSync(join(this.#root, 'ids'), { recursive: true, mode: 0o700 })
    writeFileAtomic(file, basename(home), { mode: 0o600, durable: false })
    used(home)
  }

  /** Returns the runs whose sessions may still be resumed. */
  runs(): Set<string> {
    return new Set(this.#list('homes').map(runOf))
  }

  /**
   * Deletes the sessions that have not been used for a long time, except those of these attempts. Skips what cannot be
   * deleted.
   */
  async sweep(inUse: ReadonlySet<string>, nowMs = Date.now()): Promise<void> {
    for (const kind of ['homes', 'ids'])
      for (const name of this.#list(kind)) {
        if (inUse.has(name)) continue
        const path = join(this.#root, kind, name)
        if (nowMs - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? nowMs) < RETENTION_MS) continue
        await removeTree(path).catch(() => undefined)
      }
  }

  #known(agent: string, sessionId: string): string | undefined {
    try {
      return basename(readFileSync(this.#index(agent, sessionId), 'utf8'))
    } catch {
      return undefined
    }
  }

  /** Returns the index file of an id. An id is the agent's own text, so no file is named by it. */
  #index(agent: string, sessionId: string): string {
    return join(
      this.#root,
      'ids',
      createHash('sha256').update(`${agent}\n${sessionId}`).digest('hex').slice(0, 40),
    )
  }

  #list(kind: string): string[] {
    try {
      return readdirSync(join(this.#root, kind))
    } catch {
      return []
    }
  }
}

function used(home: string): void {
  const now = new Date()
  utimesSync(home, now, now)
}

/** Returns the run of a folder, which is named after the attempt that it was made for. */
const runOf = (home: string): string => home.slice(0, home.lastIndexOf('.'))
