import type { Hello } from '../../contract/protocol.ts'
import { askVersion } from '../containers/docker/ask-version.ts'

const LOOKED_EVERY_MS = 30_000

export type EngineSeen = Hello['containers']

/** Looks whether this machine has a container engine, at once and now and then, and tells of what is new. */
export class EngineWatch {
  readonly #env: NodeJS.ProcessEnv
  readonly #tell: (seen: EngineSeen) => void
  readonly #timer: NodeJS.Timeout
  #told: string | undefined
  #closed = false

  constructor(env: NodeJS.ProcessEnv, tell: (seen: EngineSeen) => void) {
    this.#env = env
    this.#tell = tell
    this.#timer = setInterval(() => void this.#look(), LOOKED_EVERY_MS)
    void this.#look()
  }

  /** May be called twice. */
  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
  }

  async #look(): Promise<void> {
    const version = await askVersion(this.#env)
    if (this.#closed || version === this.#told) return
    this.#told = version
    this.#tell(version === undefined ? undefined : { engine: 'docker', version })
  }
}
