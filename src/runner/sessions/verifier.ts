import type { Masker } from '../masking/masker.ts'
import { endLeftVerify, runVerify, type VerifyResult } from './verify-command.ts'

export interface VerifierOptions {
  env: NodeJS.ProcessEnv
  /** Of the attempt, among all of this machine. */
  attemptKey: string
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

  /** What an earlier process of this runner has begun. */
  async endLeft(): Promise<void> {
    await endLeftVerify(this.#options.attemptKey)
  }

  /** Not again while it runs, by its key. */
  async run({ command, key }: { command: string; key: string }, cwd: string): Promise<void> {
    if (key === this.#running?.key) return
    const { env, attemptKey, masker, onResult } = this.#options
    const stop = new AbortController()
    this.#running = { key, stop }
    const result = await runVerify(command, { cwd, env, key: attemptKey, signal: stop.signal, masker })
    this.#running = undefined
    if (result) onResult(result)
  }

  /** May be called twice. */
  stop(): void {
    this.#running?.stop.abort()
  }
}
