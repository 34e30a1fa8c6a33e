import { readFile } from 'node:fs/promises'
import { writeFileAtomic } from '../../platform/atomic-file.ts'
import { changedFiles, type RepositoryState, repositoryState } from './changed-files.ts'

/** What the working folder was like before the agent came, kept over restarts. */
export class Baseline {
  readonly #file: string
  readonly #env: NodeJS.ProcessEnv
  #taken: { cwd: string; state?: RepositoryState } | undefined

  constructor(file: string, env: NodeJS.ProcessEnv) {
    this.#file = file
    this.#env = env
  }

  /** The first call counts. */
  async take(cwd: string): Promise<void> {
    if (this.#taken) return
    const state = await repositoryState(cwd, this.#env)
    this.#taken = { cwd, state }
    // Each file that is made costs the start of a session up to a millisecond: that there is nothing needs none.
    if (state) writeFileAtomic(this.#file, JSON.stringify(this.#taken), { mode: 0o600, durable: false })
  }

  /** `cwd`: where an agent was begun, and so it was taken before. */
  async recover(cwd: string | undefined): Promise<void> {
    try {
      this.#taken = JSON.parse(await readFile(this.#file, 'utf8'))
    } catch {
      if (cwd !== undefined) this.#taken = { cwd }
    }
  }

  /** Paths that changed since; `told` are those that the agent names. */
  async changed(told: Iterable<string>): Promise<string[]> {
    if (!this.#taken) return [...told].sort()
    return await changedFiles(this.#taken.cwd, this.#env, told, this.#taken.state)
  }
}
