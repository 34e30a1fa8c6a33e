import type { Masker } from '../masking/masker.ts'
import { runVerify, type VerifyResult } from './verify-command.ts'

export interface VerifierOptions {
  env: NodeJS.ProcessEnv
  masker?: Masker
  onResult(result: VerifyResult): void
}

/** Runs the verify command that a session waits for, once. */
export class Verifier {
  readonly #options: VerifierOptions
  #running: { key: string; stop: AbortController } | undefined

  constructor(options: VerifierOptions) {
    this.#options = options
  }

  /** Not again while it runs, by its key. */
  async run({ command, key }: { command: string; key: string }, cwd: string): Promise<void> {
    if (key === this.#running?.key) return
    const { env, masker, onResult } = this.#options
    const stop = new AbortController()
    this.#running = { key, stop }
    const result = await runVerify(command, { cwd, env, signal: stop.signal, masker })
    this.#running = undefined
    if (result) onResult(result)
  }

  /** May be called twice. */
  stop(): void {
    this.#running?.stop.abort()
  }
}
